"""Changes of colour, with the pixels of Pillow's `ImageEnhance` and `ImageOps`.

A change that treats each level alone is a table of 256 levels. Several tables in a row become one.
The blends of `ImageEnhance` follow Haeberli and Voorhies, "Image Processing By Interpolation and
Extrapolation" (1994).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.color_kernel import hue_shifted, looked_up, saturated, sharpened

Table: TypeAlias = npt.NDArray[np.uint8]  # (256,), or (bands, 256)

_LEVELS = np.arange(256, dtype=np.uint8)


class Toned:
    """An image of mode RGB or L, and a table that has yet to be applied to its levels."""

    def __init__(self, image: Image.Image, table: Table | None = None) -> None:
        self._image = image
        self._table = table

    def image(self) -> Image.Image:
        """Return the image with the table applied; the image itself if there is no table."""
        if self._table is not None:
            self._image = looked_up(self._image, self._table)
            self._table = None
        return self._image

    def through(self, table: Table) -> Toned:
        """Return this image with `table` to apply as well, one for all bands or one for each."""
        bands = len(self._image.getbands())
        if self._table is None:
            return Toned(self._image, np.broadcast_to(table, (bands, 256)))
        each = np.broadcast_to(table, (bands, 256))
        return Toned(self._image, np.take_along_axis(each, self._table.astype(np.intp), axis=1))

    def histogram(self) -> npt.NDArray[np.int64]:
        """Return the number of pixels with each level, after the table: (bands, 256)."""
        counts = np.array(self._image.histogram(), np.int64).reshape(-1, 256)
        if self._table is None:
            return counts
        toned = np.zeros_like(counts)
        for band, table in enumerate(self._table):
            np.add.at(toned[band], table, counts[band])
        return toned


# A change of colour, and its amount.
Recolor: TypeAlias = Callable[[Toned, Any], Toned]


@dataclass(frozen=True)
class Recolored:
    """Changes of colour, one after the other: a function of a Pillow image of mode RGB or L."""

    changes: tuple[tuple[Recolor, Any], ...]

    def __call__(self, image: Image.Image) -> Image.Image:
        if image.mode not in ("RGB", "L"):
            raise ValueError(f"changes of colour need images of mode RGB or L, not {image.mode}")
        toned = Toned(image)
        for change, amount in self.changes:
            toned = change(toned, amount)
        return toned.image()


def brightness(toned: Toned, factor: float) -> Toned:
    """Blend the image with black: `factor` 0 is black, 1 the image."""
    return toned.through(_blend(0, factor))


def contrast(toned: Toned, factor: float) -> Toned:
    """Blend the image with the mean of its luminance: `factor` 0 is grey, 1 the image."""
    image = toned.image()
    counts = np.array(image.convert("L").histogram(), np.int64)
    mean = int(int(counts @ _LEVELS.astype(np.int64)) / int(counts.sum()) + 0.5)
    return toned.through(_blend(mean, factor))


def saturation(toned: Toned, factor: float) -> Toned:
    """Blend the image with its luminance: `factor` 0 is grey, 1 the image."""
    return Toned(saturated(toned.image(), factor))


def hue(toned: Toned, shift: float) -> Toned:
    """Shift the hue by a fraction of the circle, from -0.5 to 0.5."""
    return Toned(hue_shifted(toned.image(), shift))


def sharpness(toned: Toned, factor: float) -> Toned:
    """Blend the image with a smoothed copy: `factor` 0 is smooth, 1 the image."""
    return Toned(sharpened(toned.image(), factor))


def posterize(toned: Toned, bits: int) -> Toned:
    """Keep the highest `bits`, from 0 to 8, of each level."""
    return toned.through(_LEVELS & np.uint8(256 - 2 ** (8 - bits)) if bits else _LEVELS * 0)


def solarize(toned: Toned, threshold: float) -> Toned:
    """Invert the levels from `threshold` on."""
    return toned.through(np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS).astype(np.uint8))


def autocontrast(toned: Toned, _: Any = None) -> Toned:
    """Stretch the levels of each band to the range 0 to 255."""
    is_there = toned.histogram() > 0
    low, high = is_there.argmax(axis=1), 255 - is_there[:, ::-1].argmax(axis=1)
    span = (high - low)[:, None]
    scale = 255.0 / np.maximum(span, 1)
    stretched = np.clip(_LEVELS * scale + -low[:, None] * scale, 0, 255).astype(np.uint8)
    return toned.through(np.where(span > 0, stretched, _LEVELS))


def equalize(toned: Toned, _: Any = None) -> Toned:
    """Equalize the histogram of each band."""
    counts = toned.histogram()
    highest = 255 - (counts[:, ::-1] > 0).argmax(axis=1)
    before = counts.cumsum(axis=1) - counts
    step = np.take_along_axis(before, highest[:, None], axis=1) // 255
    spread = np.minimum((step // 2 + before) // np.maximum(step, 1), 255).astype(np.uint8)
    return toned.through(np.where(step > 0, spread, _LEVELS))


def invert(toned: Toned, _: Any = None) -> Toned:
    """Invert each level."""
    return toned.through(255 - _LEVELS)


def grayscale(toned: Toned, _: Any = None) -> Toned:
    """Put the luminance in every band."""
    image = toned.image()
    return Toned(image.convert("L").convert(image.mode))


def _blend(level: int, factor: float) -> Table:
    """Return the table of `Image.blend(constant, image, factor)`, in Pillow's single precision."""
    start = np.float32(level)
    levels = start + np.float32(factor) * (_LEVELS.astype(np.float32) - start)
    return np.asarray(np.clip(levels, 0, 255), np.uint8)
