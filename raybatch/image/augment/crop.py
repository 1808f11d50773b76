"""Crops, with and without scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.checks import checked_fill, height_and_width, one_of, pair
from raybatch.image.augment.transform import Geometric
from raybatch.image.borders import PADDING_MODES
from raybatch.image.resampling import RESAMPLING, filter_name
from raybatch.image.view import Crop, Fill, Scale, Step

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
    """Crop a part of `size` from a random place, without scaling.

    `size` is (height, width), or one number for both. Without padding, the part of an array is a
    view of the array.

    Args:
        size: The (height, width) of the part in pixels, or one number for both.
        padding: The pixels to add first: a number for all sides, (left and right, top and
            bottom), or (left, top, right, bottom).
        pad_if_needed: Whether to pad an image that is smaller than `size`: on each of two opposite
            sides by all pixels that it lacks. Without it, such an image is a ValueError.
        fill: The level of added pixels, or one for each channel.
        padding_mode: "constant" adds `fill`, "edge" repeats the last pixel, "reflect" mirrors the
            image without repeating that pixel, "symmetric" mirrors it with that pixel. Masks are
            padded in the same way. Boxes and keypoints move along, but mirrored copies of objects
            get none.
    """

    size: int | tuple[int, int]
    padding: int | Sequence[int] | None = None
    pad_if_needed: bool = False
    fill: Fill = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))
        if isinstance(self.padding, list):
            object.__setattr__(self, "padding", tuple(self.padding))
        _sides(self.padding)
        if not isinstance(self.pad_if_needed, bool):
            raise TypeError(f"pad_if_needed must be True or False, not {self.pad_if_needed!r}")
        object.__setattr__(self, "fill", checked_fill(self.fill))
        one_of("padding_mode", self.padding_mode, PADDING_MODES)

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        return height_and_width("size", self.size, or_edge=True)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        left, top, right, bottom = _sides(self.padding)
        if self.pad_if_needed:
            lacking_x = max(0, own_width - left - width - right)
            lacking_y = max(0, own_height - top - height - bottom)
            left, right = left + lacking_x, right + lacking_x
            top, bottom = top + lacking_y, bottom + lacking_y
        x, y = self.place(left + width + right, top + height + bottom, rng)
        part = x - left, y - top, x - left + own_width, y - top + own_height
        return [Crop(part, self.fill, self.padding_mode)]

    def place(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int]:
        """Return the left and upper edge of the part of a padded image of this size."""
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        if width < own_width or height < own_height:
            raise ValueError(
                f"an image of {height} × {width} pixels, including padding, is smaller than the"
                f" crop of {own_height} × {own_width}: give pad_if_needed=True"
            )
        top = int(rng.integers(0, height - own_height, endpoint=True))
        left = int(rng.integers(0, width - own_width, endpoint=True))
        return left, top


def _sides(padding: Any) -> tuple[int, int, int, int]:
    """Return `padding` as (left, top, right, bottom), checked."""
    given = tuple(padding) if np.iterable(padding) else (0 if padding is None else padding,)
    if len(given) not in (1, 2, 4) or not all(
        isinstance(one, (int, np.integer)) and not isinstance(one, bool) for one in given
    ):
        raise TypeError(f"padding must be an integer, or two or four of them, not {padding!r}")
    if min(given) < 0:
        raise ValueError(f"padding must be 0 or more, not {padding!r}")
    left, top, right, bottom = given * (4 // len(given))
    return left, top, right, bottom


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
