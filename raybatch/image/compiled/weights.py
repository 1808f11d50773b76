"""What each pixel of a resampled row is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from raybatch.image.compiled.filters import BILINEAR, BOX, HAMMING, LANCZOS, WEIGHT_BITS

_ONE = 1 << WEIGHT_BITS


@register_jitable
def _sinc(x: float) -> float:
    if x == 0.0:
        return 1.0
    x *= math.pi
    return math.sin(x) / x


@register_jitable
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


def filter_weights(
    size: int,
    start: float,
    scale: float,
    count: int,
    kind: int,
    support: float,
    firsts: Any,
    counts: Any,
    weights: Any,
    shares: Any,
) -> int:
    """Write the first source pixel of each of `count` pixels to `firsts`, and its weights; return how many those are.

    There are `size` source pixels, `scale` of them to a pixel from `start` on; `support` is that of the filter
    `kind`. `weights` are zeros, of which the first `count` times what is returned are used; `counts` and `shares`
    are to work in, `shares` for the pixels that the filter can reach. `_ONE` stands for 1.

    It is `precompute_coeffs` and `normalize_coeffs_8bpc`, in their order of double-precision operations.
    """
    filter_scale = max(scale, 1.0)
    inverse = 1.0 / filter_scale
    support *= filter_scale
    # As many for each, so that the processor can foresee where the loop over them ends.
    most = 1
    for pixel in range(count):
        center = start + (pixel + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        taps = min(int(center + support + 0.5), size) - first
        firsts[pixel], counts[pixel] = first, taps
        most = max(most, taps)
    for pixel in range(count):
        center, first, taps = start + (pixel + 0.5) * scale, firsts[pixel], counts[pixel]
        total = 0.0
        for tap in range(taps):
            shares[tap] = _filter(kind, (tap + first - center + 0.5) * inverse)
            total += shares[tap]
        shift = max(0, first + most - size)
        firsts[pixel] = first - shift
        for tap in range(taps):
            share = shares[tap] / total if total != 0.0 else shares[tap]
            rounding = -0.5 if share < 0 else 0.5
            weights[pixel * most + tap + shift] = int(rounding + share * _ONE)
    return most
