"""A training program: on the trainer's host, it loops over batches from the loader hosts.

    python train.py /data/train --actors 64

It joins the cluster that the environment variable RAY_ADDRESS names; Ray jobs and the Slurm script
set it. Without it, the program joins the cluster that was started on this host.
"""

from __future__ import annotations

import os

import click

import raybatch as rb


@click.command()
@click.argument("directory")
@click.option(
    "--actors",
    default=16,
    show_default=True,
    help="Ray actors that load, such as one for each CPU of the loader hosts.",
)
@click.option("--epochs", default=1, show_default=True)
@click.option("--size", default=224, show_default=True, help="Height and width of the images.")
@click.option("--batch-size", default=64, show_default=True)
def train(directory: str, actors: int, epochs: int, size: int, batch_size: int) -> None:
    """Load the images below DIRECTORY, a path or URL that is the same on every loader host."""
    images = rb.image_folder(directory)
    accessor = rb.ImageFileAccessor(images.paths, size=(size, size))
    source = rb.ArrayDataSource([accessor, images.labels])
    pool = rb.RayActorPool(
        actors,
        # Each loader host has 1 of the resource `loader`, enough for a thousand actors; its CPUs
        # limit them first. The trainer's host has none, so no actor starts there.
        resources={"loader": 0.001},
        address=os.environ.get("RAY_ADDRESS", "auto"),
        # A cluster that rents hosts on demand takes minutes to start them.
        start_timeout_s=900,
    )
    with rb.Loader(source, batch_size, shuffle=0, pool=pool, name="train") as loader:
        for epoch in range(epochs):
            for _x, _y in loader:
                pass  # Put a training step here.
            click.echo(f"epoch {epoch}: {loader.stats()}")


if __name__ == "__main__":
    train()
