"""Random changes of colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from raybatch.image.augment.transform import Drawn, Paint, is_number, pair


@dataclass(frozen=True)
class ColorJitter(Drawn):
    """Brightness, contrast, saturation and hue changed by random factors, in a random order.

    The factor of each of the first three is uniform in [max(0, 1 - value), 1 + value], or in the (min, max)
    that is given; 1 leaves the image as it is. The hue is shifted by a share of the colour circle that is
    uniform in [-value, value], 0.5 at most, or in (min, max). What is left at 0 is not touched.

    PIL images are of mode RGB or L; grey has no hue, and no saturation to change. The factors go to Pillow's
    `ImageEnhance`, whose blends follow Haeberli and Voorhies, "Image Processing By Interpolation and
    Extrapolation" (1994); the hue is shifted in Pillow's 8-bit HSV.
    """

    brightness: float | tuple[float, float] = 0
    contrast: float | tuple[float, float] = 0
    saturation: float | tuple[float, float] = 0
    hue: float | tuple[float, float] = 0

    def __post_init__(self) -> None:
        _ = self._changes  # made here, where what is wrong is an error

    def steps(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Paint]:
        chosen = []
        for number in rng.permutation(len(self._changes)):
            change, extent = self._changes[number]
            chosen.append((change, rng.uniform(*extent)))
        return [partial(_jittered, chosen)] if chosen else []

    @cached_property
    def _changes(self) -> list[tuple[_Change, tuple[float, float]]]:
        changes = (
            (_scale_brightness, 1.0, _factors("brightness", self.brightness)),
            (_scale_contrast, 1.0, _factors("contrast", self.contrast)),
            (_scale_saturation, 1.0, _factors("saturation", self.saturation)),
            (_shift_hue, 0.0, _hue_shifts(self.hue)),
        )
        return [(change, extent) for change, same, extent in changes if extent != (same, same)]


_Change = Callable[[Image.Image, float], Image.Image]


def _jittered(chosen: Sequence[tuple[_Change, float]], image: Image.Image) -> Image.Image:
    if image.mode not in ("RGB", "L"):
        raise ValueError(f"ColorJitter takes images of mode RGB or L, not {image.mode}")
    for change, value in chosen:
        image = change(image, value)
    return image


def _scale_brightness(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _scale_contrast(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


def _scale_saturation(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Color(image).enhance(factor)


def _shift_hue(image: Image.Image, shift: float) -> Image.Image:
    if image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    steps = int(shift * 255)
    hue = hue.point([(level + steps) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert(image.mode)


def _factors(name: str, value: Any) -> tuple[float, float]:
    """Return the smallest and the largest factor that `value` allows."""
    if is_number(value):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be 0 or more, not {value!r}")
        return max(0.0, 1 - float(value)), 1 + float(value)
    low, high = pair(name, value)
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"{name} must be (min, max) with 0 ≤ min ≤ max, not {value!r}")
    return low, high


def _hue_shifts(value: Any) -> tuple[float, float]:
    """Return the smallest and the largest shift of the hue that `value` allows."""
    if is_number(value):
        if not 0 <= value <= 0.5:
            raise ValueError(f"hue must be from 0 to 0.5, not {value!r}")
        return -float(value), float(value)
    low, high = pair("hue", value)
    if not -0.5 <= low <= high <= 0.5:
        raise ValueError(f"hue must be (min, max) with -0.5 ≤ min ≤ max ≤ 0.5, not {value!r}")
    return low, high
