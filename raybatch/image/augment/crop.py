"""A random part of the image, scaled or as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from raybatch.checks import height_and_width
from raybatch.image.augment.transform import Transform, pair
from raybatch.image.scaling import RESAMPLING, ResizedPart, filter_name, resized

_TRIES = 10


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """A part of the image of random place, area and shape, scaled to `size`: (height, width), or one edge.

    The part has `scale` (min, max) of the image's area, drawn uniformly, and a width / height in `ratio`
    (min, max), drawn uniformly in its logarithm. `interpolation` is one of Pillow's filters or its name in
    lower case. Cropping and scaling are one pass, `image.resize(size, interpolation, box=box)`, so at an edge
    of the part the filter sees the pixels beside it, where the image has any.

    The crop of "Going Deeper with Convolutions" (Szegedy et al., CVPR 2015), found as torchvision finds it.
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str | int = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))
        low, high = scale = pair("scale", self.scale)
        if not 0 <= low <= high <= 1:
            raise ValueError(f"scale must be (min, max) with 0 ≤ min ≤ max ≤ 1, not {self.scale!r}")
        object.__setattr__(self, "scale", scale)
        low, high = ratio = pair("ratio", self.ratio)
        if not 0 < low <= high < math.inf:
            raise ValueError(f"ratio must be (min, max) with 0 < min ≤ max, not {self.ratio!r}")
        object.__setattr__(self, "ratio", ratio)
        name = filter_name("interpolation", self.interpolation)
        object.__setattr__(self, "interpolation", name)

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return resized(image, *self._resize(*image.size, rng))

    def on_array(self, array: npt.NDArray[np.uint8], rng: np.random.Generator) -> ResizedPart:
        return ResizedPart(array, *self._resize(array.shape[1], array.shape[0], rng))

    def _resize(self, width: int, height: int, rng: np.random.Generator) -> Any:
        """Return the arguments of `Image.resize` for an image of this size."""
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        resample = RESAMPLING[str(self.interpolation)]
        return (own_width, own_height), resample, self.box(width, height, rng)

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return the part to take of a `width` × `height` image: left, top, right, bottom, in pixels.

        Up to ten parts are drawn; if none of them fits within the image, it is the largest part in the
        middle with a ratio in the range.
        """
        if width < 1 or height < 1:
            raise ValueError(f"an image to crop must have pixels, not {width} × {height}")
        log_low, log_high = map(math.log, self.ratio)
        for _ in range(_TRIES):
            area = width * height * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(log_low, log_high))
            part_width = round(math.sqrt(area * ratio))
            part_height = round(math.sqrt(area / ratio))
            if 0 < part_width <= width and 0 < part_height <= height:
                left = int(rng.integers(0, width - part_width, endpoint=True))
                top = int(rng.integers(0, height - part_height, endpoint=True))
                return left, top, left + part_width, top + part_height
        low, high = self.ratio
        part_width = max(1, min(width, round(height * high)))
        part_height = max(1, min(height, round(width / low)))
        left, top = (width - part_width) // 2, (height - part_height) // 2
        return left, top, left + part_width, top + part_height


@dataclass(frozen=True)
class RandomCrop(Transform):
    """A part of the image at a random place, of `size`: (height, width), or one edge; nothing is scaled.

    `padding` pixels of value `fill` are put around the image before. Without
    padding, the part of an array is a view of it. ValueError for an image that is smaller.
    """

    size: int | tuple[int, int]
    padding: int = 0
    fill: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))
        for name in ("padding", "fill"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        if self.padding < 0:
            raise ValueError(f"padding must be 0 or more, not {self.padding}")
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill must be from 0 to 255, not {self.fill}")

    def on_image(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        if self.padding:
            fill = (self.fill,) * len(image.getbands())
            image = ImageOps.expand(image, self.padding, fill if len(fill) > 1 else self.fill)
        return image.crop(self.box(image.width, image.height, rng))

    def on_array(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        if self.padding:
            edges = [(self.padding, self.padding)] * 2 + [(0, 0)] * (image.ndim - 2)
            image = np.pad(image, edges, constant_values=self.fill)
        left, top, right, bottom = self.box(image.shape[1], image.shape[0], rng)
        return image[top:bottom, left:right]

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return the part to take of a `width` × `height` image: left, top, right, bottom, in pixels."""
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        if width < own_width or height < own_height:
            raise ValueError(
                f"an image of {height} × {width} pixels, with its padding, has no part of {own_height} × {own_width}"
            )
        top = int(rng.integers(0, height - own_height, endpoint=True))
        left = int(rng.integers(0, width - own_width, endpoint=True))
        return left, top, left + own_width, top + own_height
