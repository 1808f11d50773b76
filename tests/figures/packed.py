"""Images per second of packed photographs, here and through actors, and of a DataLoader.

usage: python -m tests.figures.packed DIR [--edge 224] [--epochs 6] [--batch-size 64]

The photographs in DIR are packed, then read in this process and through two Ray actors. PyTorch's
DataLoader decodes some of the same images with two workers, before and after that.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import numpy as np

import raybatch as rb
from raybatch.bench.measures import time_epochs
from raybatch.bench.peers import torch_loader
from raybatch.bench.work import Work
from raybatch.image import augment
from raybatch.stores.listing import find_images

# The DataLoader decodes only some of the images, which are enough to time it.
_DECODED = 1280


def gathered(images: rb.PackedAccessor, batch_size: int, epochs: int) -> list[float]:
    """Return the images per second of each epoch of shuffled batches, read in this process."""
    rates = []
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(images))
        began = time.perf_counter()
        for start in range(0, len(order), batch_size):
            images[order[start : start + batch_size]]
        rates.append(len(order) / (time.perf_counter() - began))
    return rates


def delivered(loader: rb.Loader, epochs: int) -> list[float]:
    """Return the images per second of each epoch, with no batch made before the first begins.

    Batches made ahead for the epoch after the last one cost time, but do not count.
    """
    rates = []
    for _ in range(epochs):
        began = time.perf_counter()
        images = sum(len(batch[0]) for batch in loader)
        rates.append(images / (time.perf_counter() - began))
    return rates


def copied(megabytes: int = 9) -> float:
    """Return how many GB per second one core copies in memory, which limits all the rates."""
    source = np.ones((40, megabytes * 2**20), np.uint8)
    target = np.empty_like(source[0])
    began = time.perf_counter()
    for row in source:
        target[:] = row
    return source.nbytes / (time.perf_counter() - began) / 1e9


def decoded_by_torch(work: Work) -> float:
    """Return the images per second of a DataLoader whose workers are up."""
    return time_epochs(torch_loader(work), len(work.paths), work.epochs - 1).images_per_s


def show(what: str, rates: list[float]) -> float:
    """Print the rates of the epochs, and return the median of all but the first."""
    first, warm = rates[0], statistics.median(rates[1:])
    print(
        f"{what:30s} first {first:6.0f}/s   then {' '.join(f'{rate:.0f}' for rate in rates[1:])}"
        f"   first / median {first / warm:.2f}   copies {copied():.1f} GB/s",
        flush=True,
    )
    return warm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir")
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    paths, edge, size = find_images(arguments.dir), arguments.edge, arguments.batch_size
    crop = augment.RandomCrop(edge * 7 // 8)

    def cropped(x: object, y: object, rng: np.random.Generator) -> tuple[object, object]:
        return crop(x, rng=rng), y

    labels = np.arange(len(paths), dtype=np.int32)
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (edge, edge)), labels])
    work = Work(tuple(paths[:_DECODED]), (edge, edge), size, workers=2, epochs=3)
    torch = [decoded_by_torch(work)]
    warm = {}
    with tempfile.TemporaryDirectory() as folder:
        with rb.RayActorPool(2) as pool:
            pool.wait_until_up()
            began = time.perf_counter()
            done = rb.pack(source, folder, pool=pool)
            seconds = time.perf_counter() - began
        print(f"packed {done.rows} images, {done.nbytes / 1e6:.0f} MB: {done.rows / seconds:.0f}/s")
        images = rb.PackedAccessor(folder)
        packed = rb.ArrayDataSource([images, images.column("label")])
        views = rb.ArrayDataSource([rb.PackedAccessor(folder, views=True), images.column("label")])
        warm["gathered here"] = show("gathered here", gathered(images, size, arguments.epochs))
        for what, data in (
            ("two Ray actors", packed),
            ("... random crops of the stack", packed.map_samples(cropped)),
            ("... random crops of views", views.map_samples(cropped)),
        ):
            # New actors, whose memory and object store nobody has used.
            pool = rb.RayActorPool(2)
            with pool, rb.Loader(data, size, shuffle=0, pool=pool) as loader:
                warm[what] = show(what, delivered(loader, arguments.epochs))
    torch.append(decoded_by_torch(work))
    print(f"DataLoader on the files {torch[0]:.0f} and {torch[1]:.0f}/s; over it:", end="")
    print(
        "",
        *(f"{what} {rate / statistics.mean(torch):.1f}" for what, rate in warm.items()),
        sep="  ",
    )


if __name__ == "__main__":
    main()
