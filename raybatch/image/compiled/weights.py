"""What each pixel of a resampled row is made of."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import types

from raybatch.image.compiled.compiling import compiled_for, inlined
from raybatch.image.compiled.vectors import WEIGHT_BITS

BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS = range(5)
# By Pillow's names: the filter, and how far it reaches to either side of its middle, in source pixels.
FILTERS = {
    "BOX": (BOX, 0.5),
    "BILINEAR": (BILINEAR, 1.0),
    "HAMMING": (HAMMING, 1.0),
    "BICUBIC": (BICUBIC, 2.0),
    "LANCZOS": (LANCZOS, 3.0),
}

_ONE = 1 << WEIGHT_BITS

Weights = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]


@inlined
def _sinc(x: float) -> float:
    if x == 0.0:
        return 1.0
    x *= math.pi
    return math.sin(x) / x


@inlined
def _filter(kind: int, x: float) -> float:
    if kind == BOX:
        return 1.0 if -0.5 < x <= 0.5 else 0.0
    if kind == LANCZOS:
        return _sinc(x) * _sinc(x / 3) if -3.0 <= x < 3.0 else 0.0
    x = abs(x)
    if kind == BILINEAR:
        return 1.0 - x if x < 1.0 else 0.0
    if kind == HAMMING:
        if x == 0.0:
            return 1.0
        if x >= 1.0:
            return 0.0
        x *= math.pi
        # These are single-precision constants in C.
        return math.sin(x) / x * (np.float64(np.float32(0.54)) + np.float32(0.46) * math.cos(x))
    a = -0.5
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * a
    return 0.0


@compiled_for(types.Tuple((types.int64[::1], types.int32[:, ::1]))(
    types.int64, types.float64, types.float64, types.int64, types.int64, types.float64
))  # fmt: skip
def filter_weights(
    size: int, start: float, scale: float, count: int, kind: int, support: float
) -> Weights:
    """Return what each of `count` pixels is made of: its first source pixel, int64 `(count,)`, and weights.

    The weights are int32 `(count, taps)`, as many for each pixel, `_ONE` stands for 1. There are `size` source
    pixels, `scale` of them to a pixel from `start` on; `support` is that of the filter `kind`. It is
    `precompute_coeffs` and `normalize_coeffs_8bpc`, in their order of double-precision operations.
    """
    filter_scale = max(scale, 1.0)
    inverse = 1.0 / filter_scale
    support *= filter_scale
    firsts, counts = np.empty(count, np.int64), np.empty(count, np.int64)
    shares = np.zeros((count, math.ceil(support) * 2 + 1))
    for pixel in range(count):
        center = start + (pixel + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        taps = min(int(center + support + 0.5), size) - first
        total = 0.0
        for tap in range(taps):
            share = _filter(kind, (tap + first - center + 0.5) * inverse)
            shares[pixel, tap] = share
            total += share
        if total != 0.0:
            for tap in range(taps):
                shares[pixel, tap] /= total
        firsts[pixel], counts[pixel] = first, taps
    # As many for each, so that the processor can foresee where the loop over them ends.
    most = max(1, counts.max())
    weights = np.zeros((count, most), np.int32)
    for pixel in range(count):
        shift = max(0, firsts[pixel] + most - size)
        firsts[pixel] -= shift
        for tap in range(counts[pixel]):
            share = shares[pixel, tap]
            rounding = -0.5 if share < 0 else 0.5
            weights[pixel, tap + shift] = int(rounding + share * _ONE)
    return firsts, weights
