"""What every contender is given to do, and the plain loop, whose pixels all others must give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

# What a contender gives: images, uint8 `(n, height, width, 3)`, and which of `Work.paths` they are.
Batches = Iterator[tuple[Any, Any]]


@dataclass(frozen=True)
class Work:
    """Load the images at `paths`, in that order, `epochs` times.

    Each becomes uint8 `(height, width, 3)` of `size`, in batches of `batch_size`, the last of an epoch shorter.
    `workers` is the number of processes, or of threads, that decode. `scale_margin` is for those that scale
    while they decode.
    """

    paths: tuple[str, ...]
    size: tuple[int, int]
    batch_size: int
    workers: int
    epochs: int = 1
    scale_margin: float = 2.0

    def batch_indices(self) -> list[npt.NDArray[np.int64]]:
        """Return the indices into `paths` of each batch of an epoch."""
        indices = np.arange(len(self.paths))
        return np.split(indices, indices[self.batch_size :: self.batch_size])

    def read_image(self, index: int) -> npt.NDArray[np.uint8]:
        """Return the image at `paths[index]` by Pillow alone; OSError if it cannot be read."""
        path, (height, width) = self.paths[index], self.size
        try:
            with Image.open(path) as image:
                scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        except OSError as error:
            raise OSError(f"cannot read {path!r}: {error}") from error
        return np.asarray(scaled)

    def read_batch(self, indices: Iterable[int]) -> npt.NDArray[np.uint8]:
        """Return the images at `indices`, stacked."""
        return np.stack([self.read_image(index) for index in indices])


def plain_loop(work: Work) -> Batches:
    """Read one image after the other, in this thread."""
    for _ in range(work.epochs):
        for indices in work.batch_indices():
            yield work.read_batch(indices), indices
