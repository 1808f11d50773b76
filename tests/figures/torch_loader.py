"""Images a second through two Ray actors, beside PyTorch's DataLoader with two workers.

usage: python -m tests.figures.torch_loader DIR [--size 64] [--batch-size 64] [--rounds 3]

In turn, on the same files: the DataLoader on the plain Pillow path, and loaders with exact and with scaled decoding. Each
is up and has given an epoch before it is timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.utils.data
from PIL import Image

import raybatch as rb
from raybatch.accessors import find_images

WORKERS = 2
READINGS: dict[str, dict[str, Any]] = {
    "exact": {},
    "margin 2": {"decode": "scaled"},
    "margin 1": {"decode": "scaled", "scale_margin": 1},
}


class PillowDataset(torch.utils.data.Dataset[Any]):
    """Images as `Image.open(path).convert("RGB").resize(...)` gives them."""

    def __init__(self, paths: list[str], size: int) -> None:
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        with Image.open(self.paths[index]) as image:
            small = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(small)), index


def rate(batches: Iterable[Any]) -> float:
    """Return the images a second of one epoch."""
    start, images = time.perf_counter(), 0
    for x, _ in batches:
        images += len(x)
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    paths = find_images(arguments.folder)
    size, batch_size = arguments.size, arguments.batch_size
    loaded_by_torch = torch.utils.data.DataLoader(
        PillowDataset(paths, size),
        batch_size,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    contenders: dict[str, Callable[[], Iterable[Any]]] = {"DataLoader": lambda: loaded_by_torch}
    labels = np.arange(len(paths))
    with rb.RayActorPool(WORKERS, address="local") as pool:
        for name, reading in READINGS.items():
            images = rb.ImageFileAccessor(paths, (size, size), **reading)
            source = rb.ArrayDataSource([images, labels])
            loader = rb.Loader(source, batch_size, shuffle=0, pool=pool)

            def epoch(loader: rb.Loader = loader) -> Iterable[Any]:
                # Nothing of the next epoch is made while the next contender is timed.
                yield from loader
                loader.set_epoch(loader.epoch + 1)

            contenders[name] = epoch
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(arguments.rounds + 1):
            for name, batches in contenders.items():
                measured = rate(batches())
                if number:  # the first is the warm-up
                    rates[name].append(measured)
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(values, rates["DataLoader"], strict=True)]
        print(
            f"{name:10s} {statistics.median(values):6.0f} images/s, "
            f"of the DataLoader's in each round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}"
        )


if __name__ == "__main__":
    main()
