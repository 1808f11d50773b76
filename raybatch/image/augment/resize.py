"""Transforms that scale images to a size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raybatch.checks import checked_fill, height_and_width, positive_int
from raybatch.image.augment.transform import Geometric
from raybatch.image.resampling import RESAMPLING, filter_name
from raybatch.image.view import Box, Crop, Fill, Scale, Size, Step


@dataclass(frozen=True)
class Resize(Geometric):
    """Scale the image to `size`.

    `size` is (height, width), or the length of the shorter edge, which keeps the aspect ratio. The
    longer edge then has at most `max_size` pixels, and is rounded down, as in torchvision.
    `interpolation` is one of Pillow's filters or its name in lower case.
    """

    size: int | tuple[int, int]
    interpolation: str | int = "bilinear"
    max_size: int | None = None

    is_random = False

    def __post_init__(self) -> None:
        one_edge = not np.iterable(self.size)
        size = positive_int("size", self.size) if one_edge else height_and_width("size", self.size)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "interpolation", filter_name("interpolation", self.interpolation))
        if self.max_size is None:
            return
        if not one_edge:
            raise ValueError("max_size needs size to be one number, not (height, width)")
        if positive_int("max_size", self.max_size) <= size:  # type: ignore[operator]
            raise ValueError(f"max_size must be above size={size}, not {self.max_size}")

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if isinstance(self.size, tuple):
            return self.size
        return None if size is None else self._scaled(size[1], size[0])[::-1]

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        return [_whole((width, height), self._scaled(width, height), self.interpolation)]

    def _scaled(self, width: int, height: int) -> Size:
        if isinstance(self.size, tuple):
            return self.size[1], self.size[0]
        shorter, longer = self.size, int(self.size * max(width, height) / min(width, height))
        if self.max_size is not None and longer > self.max_size:
            shorter, longer = int(self.max_size * shorter / longer), self.max_size
        return (shorter, longer) if width <= height else (longer, shorter)


@dataclass(frozen=True)
class Letterbox(Geometric):
    """Scale the image to fit into `size`, and centre it on a canvas of value `fill`.

    `size` is (height, width), or one number for both. `fill` is one value, or one for each channel.
    Size and place of the image are rounded as in `ImageOps.pad`.
    """

    size: int | tuple[int, int]
    fill: Fill = 114
    interpolation: str | int = "bilinear"

    is_random = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))
        object.__setattr__(self, "interpolation", filter_name("interpolation", self.interpolation))
        object.__setattr__(self, "fill", checked_fill(self.fill))

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        return height_and_width("size", self.size, or_edge=True)

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        own_height, own_width = height_and_width("size", self.size, or_edge=True)
        inner_width, inner_height = own_width, own_height
        if width / height > own_width / own_height:
            inner_height = max(1, round(height / width * own_width))
        elif width / height < own_width / own_height:
            inner_width = max(1, round(width / height * own_height))
        left, top = round((own_width - inner_width) * 0.5), round((own_height - inner_height) * 0.5)
        canvas = -left, -top, own_width - left, own_height - top
        scale = _whole((width, height), (inner_width, inner_height), self.interpolation)
        return [scale, Crop(canvas, self.fill)]


@dataclass(frozen=True)
class FilledResize(Geometric):
    """Crop the largest centred part with the aspect ratio of `size`, and scale it to `size`."""

    size: tuple[int, int]
    interpolation: str | int = "bilinear"

    is_random = False

    def output_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        return self.size

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Step]:
        own_height, own_width = self.size
        ratio = own_width / own_height
        box: Box = 0, 0, width, height
        if width / height > ratio:
            left = (width - ratio * height) * 0.5
            box = left, 0, left + ratio * height, height
        elif width / height < ratio:
            top = (height - width / ratio) * 0.5
            box = 0, top, width, top + width / ratio
        return [Scale((own_width, own_height), RESAMPLING[str(self.interpolation)], box)]


def _padded(size: tuple[int, int], interpolation: str | int) -> Geometric:
    return Letterbox(size, 0, interpolation)


# The values of the setting `fit`: how an image with another aspect ratio gets (height, width).
FITS: dict[str, Callable[[tuple[int, int], str | int], Geometric]] = {
    "stretch": Resize,
    "crop": FilledResize,
    "pad": _padded,
}


def _whole(size: Size, scaled: Size, interpolation: str | int) -> Scale:
    return Scale(scaled, RESAMPLING[str(interpolation)], (0, 0, *size))
