"""Pixels beyond the edges of an image that repeat or mirror those inside, as `numpy.pad` does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.image.view import Crop

# What lies beyond the edges: `fill`, copies of the last pixel, or the mirrored image. "symmetric"
# repeats the last pixel in it, "reflect" does not.
PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


def bordered(image: Image.Image, crop: Crop) -> Image.Image:
    """Return the part of `image` that `crop` takes; its `padding_mode` is not "constant"."""
    if image.mode == "1":
        return bordered(image.convert("L"), crop).convert("1", dither=Image.Dither.NONE)
    left, top, right, bottom = crop.rectangle
    rows = _places(top, bottom, image.height, crop.padding_mode)
    columns = _places(left, right, image.width, crop.padding_mode)
    pixels = np.asarray(image)[rows[:, None], columns]
    made = Image.frombytes(image.mode, (right - left, bottom - top), pixels.tobytes())
    if image.palette is not None:
        made.putpalette(image.palette)
    made.info = image.info.copy()
    return made


def _places(start: int, stop: int, length: int, mode: str) -> npt.NDArray[np.intp]:
    """Return the pixels, from 0 to `length`, that are seen at the places from `start` to `stop`."""
    places = np.arange(start, stop)
    if mode == "edge":
        return places.clip(0, length - 1)
    twice = int(mode == "symmetric")
    period = max(1, 2 * (length - 1 + twice))
    places %= period
    return np.where(places < length, places, period - twice - places)
