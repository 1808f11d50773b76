"""The two passes over an image, a strip of rows at a time.

A source row goes through both passes while it is in the processor's cache. With the horizontal pass first:

    source rows ──transpose──► strip ──sum columns──► window ──sum rows──► line ──write──► out
    (8 at a time)              (32 bytes a column)    (rows that the       (one row)
                                                       vertical pass needs)

With the vertical pass first, rows are summed before they are transposed. Grey images go 32 rows at a time.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from raybatch.image.compiled import vectors
from raybatch.image.compiled.filters import LANES as _LANES


@register_jitable
def _fill_strip(
    source: int, stride: int, pixel_bytes: int, width: int, rows: int, strip: int
) -> None:
    """Transpose `rows` rows of `width` pixels to columns of 32 bytes; what lies below the last is undefined."""
    if pixel_bytes == 1:
        for row in range(rows):
            for x in range(width):
                vectors.store_8(strip + x * _LANES + row, vectors.load_8(source + row * stride + x))
        return
    done = 0
    if pixel_bytes == 4 and rows == 8:
        done = width // 8 * 8
        for x in range(0, done, 8):
            vectors.transpose_8x8(source + x * 4, stride, strip + x * _LANES, _LANES)
            # The following rows, while these are summed.
            vectors.prefetch_256(source + rows * stride + x * _LANES)
    for row in range(rows):
        line, out = source + row * stride, strip + row * 4
        if pixel_bytes == 4:
            for x in range(done, width):
                vectors.store_32(out + x * _LANES, vectors.load_32(line + x * 4))
        else:
            # Four bytes are read for three, but not beyond the last pixel.
            for x in range(width - 1):
                vectors.store_32(out + x * _LANES, vectors.load_32(line + x * 3))
            for byte in range(3):
                value = vectors.load_8(line + (width - 1) * 3 + byte)
                vectors.store_8(out + (width - 1) * _LANES + byte, value)


@register_jitable
def _sum_strip(
    strip: int,
    count: int,
    firsts: Any,
    weights: int,
    taps: int,
    lanes: int,
    columns: int,
    out: int,
    stride: int,
) -> None:
    """Write the horizontal pass of a strip to rows of `lanes` bytes a pixel: 8 rows of 4, or 32 of one.

    The sums go to `columns`, 32 bytes each, and are transposed from there; whole vectors of each row are written.
    """
    for x in range(count):
        column, weight = strip + firsts[x] * _LANES, weights + x * taps * 4
        vectors.sum_rows(column, _LANES, weight, taps, columns + x * _LANES)
    if lanes == 4:
        for x in range(0, count, 8):
            vectors.transpose_8x8(columns + x * _LANES, _LANES, out + x * 4, stride)
        return
    for row in range(_LANES):
        for x in range(count):
            vectors.store_8(out + row * stride + x, vectors.load_8(columns + x * _LANES + row))


@register_jitable
def _sum_lines(source: int, stride: int, weights: int, taps: int, row_bytes: int, out: int) -> None:
    """Write the vertical pass of `taps` rows of `row_bytes` ≥ 32 bytes to one row, and nothing beside it."""
    for byte in range(0, row_bytes - _LANES, _LANES):
        vectors.sum_rows(source + byte, stride, weights, taps, out + byte)
    last = row_bytes - _LANES
    vectors.sum_rows(source + last, stride, weights, taps, out + last)


@register_jitable
def _write(
    line: int, width: int, lanes: int, out: int, strides: Any, channels: int, table: int
) -> None:
    """Write a row of `lanes` bytes a pixel to `out`: as it is, or 32-bit values from the rows of `table`."""
    pixel_stride, _ = strides
    if table == 0 and channels == 3 and (strides == (3, 1) or strides == (-3, 1)):
        x = 0
        while x + 8 <= width:
            if pixel_stride > 0:
                vectors.pack_8(line + x * 4, out + x * 3)
            else:
                vectors.pack_8_backwards(line + x * 4, out - (x + 7) * 3)
            x += 8
        while x < width:
            for byte in range(3):
                value = vectors.load_8(line + x * 4 + byte)
                vectors.store_8(out + x * pixel_stride + byte, value)
            x += 1
        return
    if table == 0 and channels == 4 and strides == (4, 1):
        for x in range(0, width * 4, 4):
            vectors.store_32(out + x, vectors.load_32(line + x))
        return
    for channel in range(channels):
        start = out + channel * strides[1]
        if table == 0:
            for x in range(width):
                vectors.store_8(start + x * strides[0], vectors.load_8(line + x * lanes + channel))
        else:
            values = table + channel * 1024
            for x in range(width):
                value = vectors.load_32(values + vectors.load_8(line + x * lanes + channel) * 4)
                vectors.store_32(start + x * strides[0], value)


def scratch_bytes(pixel_bytes: int, width: int, columns: int, y_taps: int) -> int:
    """Return how many bytes `resample` works in: for a source of `width`, `columns` pixels out."""
    lanes = 1 if pixel_bytes == 1 else 4
    at_once = _LANES // lanes
    window = (_window_rows(y_taps, at_once) + 1) * _row_stride(columns * lanes)
    return (width + columns + 8) * _LANES + window + at_once * _row_stride(width * lanes)


@register_jitable
def _row_stride(row_bytes: int) -> int:
    """Return `row_bytes` in whole vectors."""
    return (row_bytes + _LANES - 1) // _LANES * _LANES


@register_jitable
def _window_rows(taps: int, at_once: int) -> int:
    """Return how many rows are kept for a vertical pass: enough that they are moved up rarely."""
    return 2 * (taps + at_once)


def resample(
    source: int,
    stride: int,
    pixel_bytes: int,
    channels: int,
    width: int,
    height: int,
    columns: int,
    x_firsts: Any,
    x_weights: int,
    x_taps: int,
    rows: int,
    y_firsts: Any,
    y_weights: int,
    y_taps: int,
    is_vertical_first: int,
    out: int,
    row_stride: int,
    pixel_stride: int,
    channel_stride: int,
    table: int,
    scratch: int,
) -> int:
    """Resample the image at the address `source`, and write it to the address `out`.

    The arguments are those of `Kernel.resample`, and `scratch`, the address of `scratch_bytes`. With the vertical
    pass first a row has 32 bytes at least.
    """
    lanes = 1 if pixel_bytes == 1 else 4
    at_once = _LANES // lanes
    window_stride = _row_stride(columns * lanes)
    strip = scratch
    summed_columns = strip + (width + 1) * _LANES
    line = summed_columns + (columns + 7) * _LANES
    window = line + window_stride
    window_rows = _window_rows(y_taps, at_once)
    strides = pixel_stride, channel_stride

    if is_vertical_first:
        summed, summed_stride = window + window_rows * window_stride, _row_stride(width * lanes)
        for top in range(0, rows, at_once):
            count = min(at_once, rows - top)
            for row in range(count):
                _sum_lines(
                    source + y_firsts[top + row] * stride, stride,
                    y_weights + (top + row) * y_taps * 4, y_taps,
                    width * pixel_bytes, summed + row * summed_stride,
                )  # fmt: skip
            _fill_strip(summed, summed_stride, pixel_bytes, width, count, strip)
            _sum_strip(
                strip, columns, x_firsts, x_weights, x_taps, lanes, summed_columns, window, window_stride,
            )  # fmt: skip
            for row in range(count):
                _write(
                    window + row * window_stride, columns, lanes,
                    out + (top + row) * row_stride, strides, channels, table,
                )  # fmt: skip
        return 0

    # The source rows of the window's first row, and of the next to be made.
    window_top = made = y_firsts[0]
    for row in range(rows):
        first = y_firsts[row]
        made = max(made, first)
        while made < first + y_taps:
            if made - window_top + at_once > window_rows:
                kept = (made - first) * window_stride
                moved = window + (first - window_top) * window_stride
                for byte in range(0, kept, 4):
                    vectors.store_32(window + byte, vectors.load_32(moved + byte))
                window_top = first
            count = min(at_once, height - made)
            _fill_strip(source + made * stride, stride, pixel_bytes, width, count, strip)
            end = window + (made - window_top) * window_stride
            _sum_strip(
                strip, columns, x_firsts, x_weights, x_taps, lanes, summed_columns, end, window_stride,
            )  # fmt: skip
            made += count
        _sum_lines(
            window + (first - window_top) * window_stride, window_stride,
            y_weights + row * y_taps * 4, y_taps, window_stride, line,
        )  # fmt: skip
        _write(line, columns, lanes, out + row * row_stride, strides, channels, table)
    return 0
