"""Changes of colour by the compiled `color_kernel.c`, with Pillow's pixels.

Pillow takes several times as long. It still does the work where there is no kernel, or where the
kernel cannot read the memory of an image.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from raybatch.image.kernel import library_path, usable_kernel
from raybatch.image.resampling import memory_of

_NUMBER = ctypes.c_int64


def looked_up(image: Image.Image, table: npt.NDArray[np.uint8]) -> Image.Image:
    """Return `image.point(table)` of an image of mode RGB or L; `table` is (bands, 256)."""
    made = None
    if image.mode == "RGB":
        table = np.ascontiguousarray(table)
        made = _made("image_look_up_levels", image, image.width * image.height, table.ctypes.data)
    return made or image.point(table.ravel().tolist())


def saturated(image: Image.Image, factor: float) -> Image.Image:
    """Return `ImageEnhance.Color(image).enhance(factor)` of an RGB image; L stays as it is."""
    if image.mode == "L":
        return image
    made = _made("image_saturate", image, image.width * image.height, factor)
    return made or ImageEnhance.Color(image).enhance(factor)


def sharpened(image: Image.Image, factor: float) -> Image.Image:
    """Return `ImageEnhance.Sharpness(image).enhance(factor)` of an image of mode RGB or L."""
    pixel_bytes = 1 if image.mode == "L" else 4
    row_bytes = image.width * pixel_bytes
    made = _made("image_sharpen", image, image.height, row_bytes, pixel_bytes, factor)
    return made or ImageEnhance.Sharpness(image).enhance(factor)


def hue_shifted(image: Image.Image, shift: float) -> Image.Image:
    """Return an RGB image with its hue shifted, in Pillow's 8-bit HSV; L is returned as it is.

    The shift is a fraction of the full circle.
    """
    if image.mode == "L":
        return image
    steps = int(shift * 255)
    made = _made("image_shift_hue", image, image.width * image.height, steps)
    return made or _hue_shifted_by_pillow(image, steps)


def _hue_shifted_by_pillow(image: Image.Image, steps: int) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + steps) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert(image.mode)


def _made(function: str, image: Image.Image, *arguments: float) -> Image.Image | None:
    """Return `image` changed by a function of the kernel; None if the kernel cannot do it."""
    library = _usable_library()
    return None if library is None else _made_by(library, function, image, *arguments)


def _made_by(
    library: Any, function: str, image: Image.Image, *arguments: float
) -> Image.Image | None:
    made = Image.new(image.mode, image.size)
    source, out = memory_of(image), memory_of(made)
    if source is None or out is None:
        return None
    getattr(library, function)(source.address, out.address, *arguments)
    made.info = image.info.copy()
    return made


@cache
def _usable_library() -> Any:
    """Return the compiled functions; None without them, or if their pixels differ from Pillow's."""
    if usable_kernel() is None:
        return None
    library = ctypes.CDLL(library_path())
    for function, numbers in (
        (library.image_look_up_levels, [_NUMBER]),
        (library.image_saturate, [ctypes.c_float]),
        (library.image_sharpen, [_NUMBER, _NUMBER, ctypes.c_float]),
        (library.image_shift_hue, [ctypes.c_int]),
    ):
        function.argtypes = [_NUMBER, _NUMBER, _NUMBER, *numbers]
        function.restype = None
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    image = Image.fromarray(noise)
    table = np.random.default_rng(1).integers(0, 256, (3, 256), np.uint8)
    by_both = (
        (("image_look_up_levels", 1200, table.ctypes.data), image.point(table.ravel().tolist())),
        (("image_saturate", 1200, 1.7), ImageEnhance.Color(image).enhance(1.7)),
        (("image_sharpen", 40, 120, 4, 1.7), ImageEnhance.Sharpness(image).enhance(1.7)),
        (("image_shift_hue", 1200, 77), _hue_shifted_by_pillow(image, 77)),
    )
    are_equal = all(
        np.array_equal(
            np.asarray(_made_by(library, function, image, *arguments)), np.asarray(wanted)
        )
        for (function, *arguments), wanted in by_both
    )
    return library if are_equal else None
