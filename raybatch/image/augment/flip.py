"""The image mirrored, or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.augment.transform import Transform, is_number
from raybatch.image.scaling import ResizedPart


@dataclass(frozen=True)
class _RandomFlip(Transform):
    p: float = 0.5

    _transpose: ClassVar[Image.Transpose]

    def __post_init__(self) -> None:
        if not is_number(self.p):
            raise TypeError(f"p must be a number, not {self.p!r}")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must be from 0 to 1, not {self.p!r}")

    def _is_due(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self.p)

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.transpose(self._transpose) if self._is_due(rng) else image


class RandomHorizontalFlip(_RandomFlip):
    """The image with left and right exchanged, with probability `p`."""

    _transpose = Image.Transpose.FLIP_LEFT_RIGHT

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        # Faster than a copy of a view that runs backwards, which not every library takes.
        backwards = np.arange(image.shape[1])[::-1]
        return np.take(image, backwards, axis=1) if self._is_due(rng) else image

    def on_part(self, part: ResizedPart, rng: np.random.Generator) -> ResizedPart:
        return replace(part, columns=-part.columns) if self._is_due(rng) else part


class RandomVerticalFlip(_RandomFlip):
    """The image with top and bottom exchanged, with probability `p`."""

    _transpose = Image.Transpose.FLIP_TOP_BOTTOM

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        return image[::-1].copy() if self._is_due(rng) else image

    def on_part(self, part: ResizedPart, rng: np.random.Generator) -> ResizedPart:
        return replace(part, rows=-part.rows) if self._is_due(rng) else part
