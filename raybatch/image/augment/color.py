"""Random changes of colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raybatch.checks import int_between
from raybatch.image.augment import levels
from raybatch.image.augment.chance import Occasional
from raybatch.image.augment.levels import Recolor, Recolored
from raybatch.image.augment.transform import Drawn, Paint, is_number, pair


@dataclass(frozen=True)
class ColorJitter(Drawn):
    """Brightness, contrast, saturation and hue changed by random factors, in a random order.

    The factor of each of the first three is uniform in [max(0, 1 - value), 1 + value], or in the (min, max)
    that is given; 1 leaves the image as it is. The hue is shifted by a share of the colour circle that is
    uniform in [-value, value], 0.5 at most, or in (min, max). What is left at 0 is not touched.

    PIL images are of mode RGB or L; grey has no hue, and no saturation to change. The pixels are those of Pillow's
    `ImageEnhance`; the hue is shifted in its 8-bit HSV.
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
        return [Recolored(tuple(chosen))] if chosen else []

    @cached_property
    def _changes(self) -> list[tuple[Recolor, tuple[float, float]]]:
        changes = (
            (levels.brightness, 1.0, _factors("brightness", self.brightness)),
            (levels.contrast, 1.0, _factors("contrast", self.contrast)),
            (levels.saturation, 1.0, _factors("saturation", self.saturation)),
            (levels.hue, 0.0, _hue_shifts(self.hue)),
        )
        return [(change, extent) for change, same, extent in changes if extent != (same, same)]


class _Recoloring(Occasional):
    """One change of colour of a fixed amount."""

    def made(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Paint]:
        return [Recolored((self.change(),))]

    def change(self) -> tuple[Recolor, Any]:
        """Return what is changed, and by how much."""
        raise NotImplementedError


@dataclass(frozen=True)
class RandomGrayscale(_Recoloring):
    """The luminance in each channel, with the probability `p`."""

    p: float = 0.1

    def change(self) -> tuple[Recolor, Any]:
        return levels.grayscale, None


@dataclass(frozen=True)
class RandomInvert(_Recoloring):
    """Every level taken from 255, with the probability `p`."""

    p: float = 0.5

    def change(self) -> tuple[Recolor, Any]:
        return levels.invert, None


@dataclass(frozen=True)
class RandomAutocontrast(_Recoloring):
    """The levels of each channel stretched to all from 0 to 255, with the probability `p`."""

    p: float = 0.5

    def change(self) -> tuple[Recolor, Any]:
        return levels.autocontrast, None


@dataclass(frozen=True)
class RandomEqualize(_Recoloring):
    """The levels of each channel spread until all are about as frequent, with the probability `p`."""

    p: float = 0.5

    def change(self) -> tuple[Recolor, Any]:
        return levels.equalize, None


@dataclass(frozen=True)
class RandomPosterize(_Recoloring):
    """The highest `bits`, 0 to 8, of each level, with the probability `p`."""

    bits: int
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        int_between("bits", self.bits, 0, 8)

    def change(self) -> tuple[Recolor, Any]:
        return levels.posterize, self.bits


@dataclass(frozen=True)
class RandomSolarize(_Recoloring):
    """The levels from `threshold` on, 0 to 256, taken from 255, with the probability `p`."""

    threshold: float
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.threshold) or not 0 <= self.threshold <= 256:
            raise ValueError(f"threshold must be from 0 to 256, not {self.threshold!r}")

    def change(self) -> tuple[Recolor, Any]:
        return levels.solarize, self.threshold


@dataclass(frozen=True)
class RandomAdjustSharpness(_Recoloring):
    """The image blended with a smoothed one, with the probability `p`: `sharpness_factor` 0 is smooth, 1 the image, 2 sharp."""

    sharpness_factor: float
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.sharpness_factor) or not 0 <= self.sharpness_factor < math.inf:
            raise ValueError(f"sharpness_factor must be 0 or more, not {self.sharpness_factor!r}")

    def change(self) -> tuple[Recolor, Any]:
        return levels.sharpness, self.sharpness_factor


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
