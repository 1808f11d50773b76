"""Rotations, shears and perspective by the compiled `warp_kernel.c`, or by Pillow.

The pixels are Pillow's either way.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from raybatch.image.kernel import library_path, usable_kernel
from raybatch.image.resampling import colour, memory_of
from raybatch.image.view import Warp

_NUMBER, _INT = ctypes.c_int64, ctypes.c_int

# Bytes per pixel. The kernel has only the bilinear filter, for which Pillow takes three times as
# long. For the nearest pixel Pillow is as fast.
_MODES = {"L": 1, "RGB": 4}
_MOST_PIXELS = 2**31 - 1


def warped(image: Image.Image, warp: Warp) -> Image.Image:
    """Return `image` changed by `warp`: `image.transform(warp.size, ...)`."""
    if warp.resample == Image.Resampling.BILINEAR and image.mode in _MODES:
        library = _usable_library()
        made = None if library is None else _by_kernel(library, image, warp)
        if made is not None:
            return made
    return _by_pillow(image, warp)


def _by_pillow(image: Image.Image, warp: Warp) -> Image.Image:
    is_affine = len(warp.coefficients) == 6
    method = Image.Transform.AFFINE if is_affine else Image.Transform.PERSPECTIVE
    fill = colour(image.mode, warp.fill)
    return image.transform(warp.size, method, warp.coefficients, warp.resample, fillcolor=fill)


def _by_kernel(library: Any, image: Image.Image, warp: Warp) -> Image.Image | None:
    if image.width * image.height > _MOST_PIXELS or not all(np.isfinite(warp.coefficients)):
        return None
    made = Image.new(image.mode, warp.size, colour(image.mode, warp.fill))
    source, out = memory_of(image), memory_of(made)
    if source is None or out is None:
        return None
    is_affine = len(warp.coefficients) == 6
    coefficients = np.zeros(8)
    coefficients[: len(warp.coefficients)] = warp.coefficients
    place = coefficients.ctypes.data
    library.image_warp(
        source.address, *image.size, out.address, *warp.size, place, _MODES[image.mode], is_affine
    )
    made.info = image.info.copy()
    return made


@cache
def _usable_library() -> Any:
    """Return the compiled function; None without it, or if its pixels differ from Pillow's."""
    if usable_kernel() is None:
        return None
    library = ctypes.CDLL(library_path())
    library.image_warp.argtypes = [_NUMBER, _INT, _INT, _NUMBER, _INT, _INT, _NUMBER, _INT, _INT]
    library.image_warp.restype = None
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8))
    turned = (0.9, 0.3, -4.2, -0.2, 1.1, 3.1)
    warps = [
        Warp((33, 35), coefficients, Image.Resampling.BILINEAR, 9)
        for coefficients in (turned, (*turned, 0.003, -0.002))
    ]
    are_equal = all(
        np.array_equal(
            np.asarray(_by_kernel(library, image, warp)), np.asarray(_by_pillow(image, warp))
        )
        for image in (noise, noise.convert("L"))
        for warp in warps
    )
    return library if are_equal else None
