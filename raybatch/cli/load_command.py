"""`raybatch load`: the images of a folder through the loader, timed."""

from __future__ import annotations

import itertools
import time
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table

from raybatch.cli import options
from raybatch.cli.class_names import classes_option
from raybatch.cli.labelled_folder import folder_source
from raybatch.cli.options import ActorOptions
from raybatch.cli.output import Output
from raybatch.loader import Loader
from raybatch.sources import StreamDigest

_TRAINING_BATCHES = 20


@click.command()
@click.argument("directory", type=options.folder)
@options.size
@options.batch_size
@options.count("--epochs", default=1)
@options.shuffle
@options.workers
@options.transform
@classes_option
@options.reading
@options.output
def load(
    directory: str,
    size: tuple[int, int],
    batch_size: int,
    epochs: int,
    shuffle: int | None,
    workers: ActorOptions,
    transform: str | None,
    output: Output,
    **reading: Any,
) -> None:
    """Load the images below DIRECTORY, and say how fast they came, and how fast a few come as training takes them.

    The digest of an epoch covers every pixel and label in their order: the same images, size, batch size, seed,
    transform and ways of reading give the same digest, with any number of actors.
    """
    source, _ = folder_source(directory, size, transform=transform, **reading)
    training_rate = None
    with workers.pool() as pool:
        with Loader(source, batch_size, shuffle=shuffle, pool=pool) as loader:
            epoch_figures = [time_epoch(output, loader, epoch) for epoch in range(epochs)]
        if transform is None:
            trained, _ = folder_source(directory, size, transform="train", **reading)
            with Loader(trained, batch_size, shuffle=shuffle, pool=pool) as loader:
                training_rate = training_images_per_s(loader)
    figures = {
        "images": source.num_samples(),
        "epochs": epoch_figures,
        "training_images_per_s": training_rate,
    }
    shown: list[RenderableType] = [_table(epoch_figures)]
    if training_rate is not None:
        shown.append(f"With --transform train, {training_rate:.0f} images/s.")
    output.show(figures, shown)


def training_images_per_s(loader: Loader) -> float:
    """Return how many images a second come of the first batches of an epoch."""
    started = time.perf_counter()
    images = sum(len(batch[0]) for batch in itertools.islice(loader, _TRAINING_BATCHES))
    return round(images / (time.perf_counter() - started), 1)


def time_epoch(output: Output, loader: Loader, epoch: int) -> dict[str, Any]:
    """Return the figures of one epoch: images, batches, seconds, the first batch's, and the digest."""
    digest = StreamDigest()
    images, batches, first_batch_s = 0, 0, 0.0
    started = time.perf_counter()
    for batch in output.batches(f"epoch {epoch}", loader, int(loader.num_samples or 0)):
        if batches == 0:
            first_batch_s = time.perf_counter() - started
        digest.update(batch)
        images += len(batch[0])
        batches += 1
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch,
        "images": images,
        "batches": batches,
        "seconds": round(seconds, 3),
        "images_per_s": round(images / seconds, 1),
        "first_batch_s": round(first_batch_s, 3),
        "digest": digest.hexdigest(),
    }


def _table(figures: list[dict[str, Any]]) -> Table:
    table = Table("epoch", "images", "batches", "seconds", "first batch", "images/s", "digest")
    for row in figures:
        table.add_row(
            *(str(row[name]) for name in ("epoch", "images", "batches")),
            f"{row['seconds']:.2f}",
            f"{row['first_batch_s']:.3f} s",
            f"{row['images_per_s']:.0f}",
            row["digest"][:16],
        )
    return table
