"""The work of every contender, and the plain loop, to which the others are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.bench.recipes import STRETCH, Recipe

# A contender yields images as the recipe makes them, `(n, ...)`, and their indices in `Work.paths`.
Batches = Iterator[tuple[Any, Any]]


@dataclass(frozen=True)
class Work:
    """Load the images at `paths`, `epochs` times, in that order; a random recipe allows any order.

    Args:
        paths: The paths of the images.
        size: (height, width) of a finished image in pixels.
        batch_size: The number of images in a batch; the last of an epoch can have fewer.
        workers: The number of processes or threads that decode.
        epochs: The number of epochs.
        scale_margin: The accessor's `scale_margin`, for contenders that scale while they decode.
        recipe: How an image becomes an array.
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
        """Return an uninitialised array for `count` images."""
        return np.empty((count, *self.recipe.shape(self.size)), self.recipe.dtype)

    def read_image(self, index: int) -> npt.NDArray[Any]:
        """Return the image at `paths[index]`, by Pillow and NumPy alone.

        OSError if it is unreadable.
        """
        image: npt.NDArray[Any] = self.read_batch([index])[0]
        return image

    def read_batch(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the images at `indices`, stacked; OSError if one is unreadable."""
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
    """Read one image after the other in this thread."""
    for _ in range(work.epochs):
        for indices in work.batch_indices():
            yield work.read_batch(indices), indices
