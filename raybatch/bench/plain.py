"""Pillow in a plain loop: the pixels that all others must give, and the function that they all are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.bench.work import Work


def read_image(path: str, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the image at `path` in RGB, `(height, width, 3)` of `size`; OSError if it cannot be read."""
    height, width = size
    try:
        with Image.open(path) as image:
            scaled = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    except OSError as error:
        raise OSError(f"cannot read {path!r}: {error}") from error
    return np.asarray(scaled)


def read_batch(work: Work, indices: Iterable[int]) -> npt.NDArray[np.uint8]:
    """Return the images of `work` at `indices`, stacked."""
    return np.stack([read_image(work.paths[index], work.size) for index in indices])


def batches(work: Work) -> Iterator[tuple[Any, Any]]:
    """Read one image after the other, in this thread."""
    for _ in range(work.epochs):
        for indices in work.batch_indices():
            yield read_batch(work, indices), indices
