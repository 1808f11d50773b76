"""What every contender is given to do, and the plain loop, which all others are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.bench.recipes import STRETCH, Recipe

# What a contender gives: images as the recipe has them, `(n, ...)`, and which of `Work.paths` they are.
Batches = Iterator[tuple[Any, Any]]


@dataclass(frozen=True)
class Work:
    """Load the images at `paths`, `epochs` times: in that order, or if the recipe is random in any.

    Each becomes what `recipe` says, at `size`, (height, width), in batches of `batch_size`, the last of an
    epoch shorter. `workers` is the number of processes, or of threads, that decode. `scale_margin` is for those
    that scale while they decode.
    """

    paths: tuple[str, ...]
    size: tuple[int, int]
    batch_size: int
    workers: int
    epochs: int = 1
    scale_margin: float = 2.0
    recipe: Recipe = STRETCH

    def batch_indices(self) -> list[npt.NDArray[np.int64]]:
        """Return the indices into `paths` of each batch of an epoch."""
        indices = np.arange(len(self.paths))
        return np.split(indices, indices[self.batch_size :: self.batch_size])

    def empty_batch(self, count: int) -> npt.NDArray[Any]:
        """Return memory for `count` images."""
        return np.empty((count, *self.recipe.shape(self.size)), self.recipe.dtype)

    def read_image(self, index: int) -> npt.NDArray[Any]:
        """Return the image at `paths[index]` by Pillow and NumPy alone; OSError if it cannot be read."""
        image: npt.NDArray[Any] = self.read_batch([index])[0]
        return image

    def read_batch(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the images at `indices`, stacked; OSError if one cannot be read."""
        images = self.empty_batch(len(indices))
        for row, index in zip(images, indices, strict=True):
            path = self.paths[index]
            try:
                with Image.open(path) as image:
                    self.recipe.write(image.convert("RGB"), row)
            except OSError as error:
                raise OSError(f"cannot read {path!r}: {error}") from error
        return images


def plain_loop(work: Work) -> Batches:
    """Read one image after the other, in this thread."""
    for _ in range(work.epochs):
        for indices in work.batch_indices():
            yield work.read_batch(indices), indices
