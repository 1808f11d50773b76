"""A small network learns to segment images: to find the class of each pixel.

python -m raybatch.examples.segment IMAGES MASKS --classes 21
"""

from __future__ import annotations

import os
from typing import Any

import click

import raybatch as rb
from raybatch.image import augment

try:
    import torch
    from torch import nn

    from raybatch.adapters.torch import to_torch
except ImportError as error:
    raise ImportError("this example trains with torch: pip install 'raybatch[torch]'") from error

IGNORED = 255  # the class of pixels that the loss ignores, and of pixels outside the image


def pairs(images: str, masks: str) -> tuple[list[str], list[str]]:
    """Return the paths of the JPEG images and of their masks, the PNG files with the same names."""
    names = sorted(name.removesuffix(".png") for name in os.listdir(masks) if name.endswith(".png"))
    if not names:
        raise click.BadParameter(f"no *.png in {masks!r}")
    return (
        [os.path.join(images, f"{name}.jpg") for name in names],
        [os.path.join(masks, f"{name}.png") for name in names],
    )


def augmented(images: list[str], masks: list[str], edge: int) -> rb.ArrayDataSource:
    """Return a source of dicts of "image" and "mask".

    They are float32 `(n, 3, edge, edge)` and uint8 `(n, edge, edge)`.
    """
    change = augment.Compose(
        [
            augment.RandomResizedCrop(edge, scale=(0.5, 1.0)),
            augment.RandomHorizontalFlip(),
            augment.ColorJitter(0.2, 0.2, 0.2),
        ]
    )
    layout = rb.PixelLayout(channels_first=True, mean=0.5, std=0.25)
    return rb.ArrayDataSource(
        {
            "image": rb.ImageFileAccessor(images, transform=change, layout=layout),
            "mask": rb.ImageFileAccessor(masks, transform=change, mask=True),
        }
    )


def network(classes: int, channels: int = 16) -> Any:
    """Return a few convolution layers that score each class for each pixel."""
    layers: list[Any] = []
    for before in (3, channels):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels, classes, 1))


_number = click.IntRange(min=1)


@click.command()
@click.argument("images", type=click.Path(exists=True, file_okay=False))
@click.argument("masks", type=click.Path(exists=True, file_okay=False))
@click.option("--classes", type=_number, default=21, show_default=True)
@click.option("--epochs", type=_number, default=2, show_default=True)
@click.option("--edge", type=_number, default=64, show_default=True, help="Pixels a side.")
@click.option("--batch-size", type=_number, default=16, show_default=True)
@click.option("--workers", type=_number, default=2, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def main(
    images: str,
    masks: str,
    classes: int,
    epochs: int,
    edge: int,
    batch_size: int,
    workers: int,
    seed: int,
) -> None:
    """Learn to segment the JPEG images in IMAGES from the masks of the same names in MASKS.

    Masks are PNG files with a palette or in grey. A pixel with the value 255 has no class.
    """
    torch.manual_seed(seed)
    model = network(classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    source = augmented(*pairs(images, masks), edge)
    with rb.Loader(
        source, batch_size, shuffle=True, seed=seed, pool=rb.RayActorPool(workers)
    ) as loader:
        batches = to_torch(loader)
        for epoch in range(epochs):
            right = known = 0
            for batch in batches:
                target = batch["mask"].long()
                scores = model(batch["image"])
                loss = nn.functional.cross_entropy(scores, target, ignore_index=IGNORED)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                right += int((scores.argmax(dim=1) == target).sum())
                known += int((target != IGNORED).sum())
            click.echo(f"epoch {epoch}: {right / known:.1%} of the pixels were right")


if __name__ == "__main__":
    main()
