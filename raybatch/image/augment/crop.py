"""Crops, with and without scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.checks import height_and_width, pair
from raybatch.image.augment.transform import Geometric
from raybatch.image.resampling import RESAMPLING, filter_name
from raybatch.image.view import Crop, Scale, Step

_TRIES = 10


@dataclass(frozen=True)
class RandomResizedCrop(Geometric):
    """Crop a random part of the image, and scale it to `size`.

    `size` is (height, width), or one number for both. The part has a random place. Its share of the
    image's area is uniform in `scale` (min, max), and the logarithm of its width / height is
    uniform between the logarithms of `ratio` (min, max). `interpolation` is one of Pillow's filters
    or its name in lower case. Cropping and scaling are one pass, `image.resize(size, interpolation,
    box=box)`, so the filter also sees the pixels just outside the part.

    This is the crop of "Going Deeper with Convolutions" (Szegedy et al., CVPR 2015), drawn as
    torchvision draws it.
    """

    size: int | tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str | int = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))
        scale, ratio = scale_and_ratio(self.scale, self.ratio)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "ratio", ratio)
        name = filter_name("interpolation", self.interpolation)
        object.__setattr__(self, "interpolation", name)

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        return height_and_width("size", self.size, or_edge=True)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        resample = RESAMPLING[str(self.interpolation)]
        return [Scale((own_width, own_height), resample, self.box(width, height, rng))]

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return the part of an image to take: left, top, right, bottom, in pixels.

        Up to ten parts are drawn. If none fits into the image, the result is the largest centred
        part with an allowed ratio.
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
class RandomCrop(Geometric):
    """Crop a part of `size` at a random place, without scaling.

    `size` is (height, width), or one number for both. First `padding` pixels of value `fill` are
    added on all sides. Without padding, the part of an array is a view of the array. ValueError if
    the image, with its padding, is smaller than `size`.
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

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        return height_and_width("size", self.size, or_edge=True)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        around = self.padding
        padded = Crop((-around, -around, width + around, height + around), self.fill)
        return [padded, Crop(self.box(width + 2 * around, height + 2 * around, rng))]

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return the part of an image to take: left, top, right, bottom, in pixels."""
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        if width < own_width or height < own_height:
            raise ValueError(
                f"an image of {height} × {width} pixels, including padding, is smaller than the"
                f" crop of {own_height} × {own_width}"
            )
        top = int(rng.integers(0, height - own_height, endpoint=True))
        left = int(rng.integers(0, width - own_width, endpoint=True))
        return left, top, left + own_width, top + own_height


@dataclass(frozen=True)
class CenterCrop(Geometric):
    """Crop a part of `size` from the centre, without scaling.

    `size` is (height, width), or one number for both. A smaller image gets a black border. The
    place of the part is rounded as in torchvision.
    """

    size: int | tuple[int, int]

    is_random = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        return height_and_width("size", self.size, or_edge=True)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        left, top = _middle(width, own_width), _middle(height, own_height)
        return [Crop((left, top, left + own_width, top + own_height))]


def _middle(length: int, wanted: int) -> int:
    """Return where the central `wanted` pixels of an edge of `length` pixels begin.

    The result is below 0 if the edge is shorter.
    """
    return -((wanted - length) // 2) if wanted > length else round((length - wanted) / 2)


def scale_and_ratio(scale: Any, ratio: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return `scale` and `ratio`, checked: (min, max) of a part's area and of its aspect ratio.

    Areas are fractions of the image's area. ValueError if a value is wrong.
    """
    low, high = shares = pair("scale", scale)
    if not 0 <= low <= high <= 1:
        raise ValueError(f"scale must be (min, max) with 0 ≤ min ≤ max ≤ 1, not {scale!r}")
    low, high = ratios = pair("ratio", ratio)
    if not 0 < low <= high < math.inf:
        raise ValueError(f"ratio must be (min, max) with 0 < min ≤ max, not {ratio!r}")
    return shares, ratios
