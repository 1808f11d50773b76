"""Random changes of colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raybatch.checks import int_between, is_number, pair
from raybatch.image.augment import levels
from raybatch.image.augment.chance import Occasional
from raybatch.image.augment.levels import Recolor, Recolored
from raybatch.image.augment.transform import Drawn, Paint


@dataclass(frozen=True)
class ColorJitter(Drawn):
    """Change brightness, contrast, saturation and hue by random factors, in a random order.

    The factors of the first three are uniform in [max(0, 1 - value), 1 + value], or in a given
    (min, max); 1 leaves the image unchanged. The hue is shifted by a fraction of the colour circle
    that is uniform in [-value, value], at most 0.5, or in (min, max). A value of 0 turns that
    change off.

    PIL images must be RGB or L; L has no hue and no saturation. The pixels are those of Pillow's
    `ImageEnhance`; the hue is shifted in Pillow's 8-bit HSV.
    """

    brightness: float | tuple[float, float] = 0
    contrast: float | tuple[float, float] = 0
    saturation: float | tuple[float, float] = 0
    hue: float | tuple[float, float] = 0

    def __post_init__(self) -> None:
        _ = self._changes  # computed here, so that wrong values raise here

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
    """One change of colour by a fixed amount."""

    def made(self, width: int, height: int, rng: np.random.Generator) -> Sequence[Paint]:
        return [Recolored((self.change(),))]

    def change(self) -> tuple[Recolor, Any]:
        """Return the change, and its amount."""
        raise NotImplementedError


@dataclass(frozen=True)
class RandomGrayscale(_Recoloring):
    """Replace each channel by the luminance, with the probability `p`."""

    p: float = 0.1

    def change(self) -> tuple[Recolor, Any]:
        return levels.grayscale, None


@dataclass(frozen=True)
class RandomInvert(_Recoloring):
    """Invert every level, with the probability `p`."""

    p: float = 0.5

    def change(self) -> tuple[Recolor, Any]:
        return levels.invert, None


@dataclass(frozen=True)
class RandomAutocontrast(_Recoloring):
    """Stretch the levels of each channel to the range 0 to 255, with the probability `p`."""

    p: float = 0.5

    def change(self) -> tuple[Recolor, Any]:
        return levels.autocontrast, None


@dataclass(frozen=True)
class RandomEqualize(_Recoloring):
    """Equalize the histogram of each channel, with the probability `p`."""

    p: float = 0.5

    def change(self) -> tuple[Recolor, Any]:
        return levels.equalize, None


@dataclass(frozen=True)
class RandomPosterize(_Recoloring):
    """Keep the highest `bits`, 0 to 8, of each level, with the probability `p`."""

    bits: int
    p: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        int_between("bits", self.bits, 0, 8)

    def change(self) -> tuple[Recolor, Any]:
        return levels.posterize, self.bits


@dataclass(frozen=True)
class RandomSolarize(_Recoloring):
    """Invert the levels from `threshold` (0 to 256) on, with the probability `p`."""

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
    """Blend the image with a smoothed copy, with the probability `p`.

    `sharpness_factor` 0 is the smoothed copy, 1 the image, and 2 a sharper image.
    """

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
