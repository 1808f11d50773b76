"""The image mirrored, or not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.augment.settings import is_number
from raybatch.image.augment.transform import Transform
from raybatch.image.resampling import ResizedPart


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """The image with left and right exchanged, with probability `p`."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        if rng.random() < self.p:
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        # Faster than a copy of a view that runs backwards, which not every library takes.
        backwards = np.arange(image.shape[1])[::-1]
        return np.take(image, backwards, axis=1) if rng.random() < self.p else image

    def on_part(self, part: ResizedPart, rng: np.random.Generator) -> ResizedPart:
        return replace(part, columns=-part.columns) if rng.random() < self.p else part


@dataclass(frozen=True)
class RandomVerticalFlip(Transform):
    """The image with top and bottom exchanged, with probability `p`."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        if rng.random() < self.p:
            return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        return image

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        return image[::-1].copy() if rng.random() < self.p else image

    def on_part(self, part: ResizedPart, rng: np.random.Generator) -> ResizedPart:
        return replace(part, rows=-part.rows) if rng.random() < self.p else part


def _check_probability(p: float) -> None:
    if not is_number(p):
        raise TypeError(f"p must be a number, not {p!r}")
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, not {p!r}")
