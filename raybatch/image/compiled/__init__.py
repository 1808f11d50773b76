"""Pillow's resampling of 8-bit images, compiled by Numba. Only this folder imports it.

The algorithm, and with it every rounding, is that of `src/libImaging/Resample.c` in Pillow: two passes with
fixed-point weights, each rounded and clipped to 8 bits.
"""

from raybatch.image.compiled.passes import LEAST_ROW_BYTES, resample, scratch_bytes
from raybatch.image.compiled.weights import FILTERS, filter_weights

__all__ = ["FILTERS", "LEAST_ROW_BYTES", "filter_weights", "resample", "scratch_bytes"]
