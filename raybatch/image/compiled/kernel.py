"""The compiled functions, as Python calls them. They run without the GIL."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from raybatch.image.compiled.filters import FILTERS, LANES
from raybatch.image.compiled.machine_code import MachineCode, object_file

# An image in memory: its address, bytes from row to row, bytes a pixel (1, 3 or 4), how many of them are written
# as channels, width and height in pixels.
Memory = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class _Weights:
    """What each pixel of a resampled row is made of.

    `arguments` is how the compiled functions take it: the count of pixels, the addresses of their first source pixels,
    int64 `(count,)`, and of the weights, int32 `(count, taps)`, and taps. Both lie in `memory`.
    """

    memory: npt.NDArray[np.int64]
    arguments: tuple[int, int, int, int]


def _part(weights: _Weights, start: int, stop: int) -> _Weights:
    _, firsts, values, taps = weights.arguments
    return _Weights(
        weights.memory, (stop - start, firsts + 8 * start, values + 4 * taps * start, taps)
    )


class Kernel:
    """Pillow's resampling for the processor of this host, for its `filters`.

    `tall_vertical_first`: the vertical pass comes first where an image loses more than twice as many rows as
    columns, as it does in Pillow from version 13 on.

    Making one loads the machine code, and compiles it when none is on the disk, which takes seconds. Raises
    ImportError without Numba, and RuntimeError if what it compiles cannot be used.
    """

    filters = frozenset(FILTERS)

    def __init__(self) -> None:
        self._code = MachineCode(object_file())
        number, real = ctypes.c_int64, ctypes.c_double
        self._scratch_bytes = self._function("scratch_bytes", [number] * 4)
        self._resample = self._function("resample", [number] * 21)
        self._filter_weights = self._function(
            "filter_weights", [number, real, real, number, number, real, *[number] * 4]
        )
        # A batch of photographs has few shapes, a random crop is of a new one each time.
        self._weights = lru_cache(maxsize=128)(self._new_weights)
        self.tall_vertical_first = False

    def resample(
        self,
        source: Memory,
        size: tuple[int, int],
        filter_name: str,
        box: tuple[float, float, float, float],
        out: tuple[int, ...],
        table: int = 0,
        window: tuple[int, int, int, int] | None = None,
    ) -> bool:
        """Write `source.resize(size, filter_name, box)` to another place in memory; return whether this could.

        `size` is (width, height). `out` is an address, and the bytes from row to row, from pixel to pixel and from
        channel to channel. `table` is 0 for bytes, or the address of `(channels, 256)` 32-bit values, one for each
        byte. The memory is not checked.
        """
        _, _, pixel_bytes, _, width, height = source
        columns, rows = size
        # Pillow has the box in single precision. It knows what to say about one that does not fit.
        left, top, right, bottom = np.array(box, np.float32).tolist()
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            return False
        is_vertical_first = self.tall_vertical_first and height - rows > max(
            0, 2 * (width - columns)
        )
        # Rows are summed in whole vectors.
        if filter_name not in self.filters or (is_vertical_first and width * pixel_bytes < LANES):
            return False
        box_width, box_height = float(np.float32(right - left)), float(np.float32(bottom - top))
        x = self._weights(filter_name, width, left, box_width / columns, columns)
        y = self._weights(filter_name, height, top, box_height / rows, rows)
        if window is not None:
            x = _part(x, window[0], window[2])
            y = _part(y, window[1], window[3])
            columns = window[2] - window[0]
        y_taps = y.arguments[-1]
        scratch = np.empty(self._scratch_bytes(pixel_bytes, width, columns, y_taps), np.uint8)
        rows_first = int(is_vertical_first)
        self._resample(
            *source, *x.arguments, *y.arguments, rows_first, *out, table, scratch.ctypes.data
        )
        return True

    def _new_weights(
        self, name: str, size: int, start: float, scale: float, count: int
    ) -> _Weights:
        """Return the weights of `count` pixels: of `size` source pixels, `scale` to a pixel from `start` on."""
        kind, support = FILTERS[name]
        most = 2 * math.ceil(support * max(scale, 1.0)) + 1
        # In one array: the first pixels, the weights, and what is worked in.
        memory = np.zeros(2 * count + most + (count * most + 1) // 2, np.int64)
        firsts = memory.ctypes.data
        counts, shares = firsts + 8 * count, firsts + 16 * count
        weights = shares + 8 * most
        places = firsts, counts, weights, shares
        taps = self._filter_weights(size, start, scale, count, kind, support, *places)
        return _Weights(memory, (count, firsts, weights, taps))

    def _function(self, name: str, arguments: list[type]) -> Callable[..., int]:
        """Return a function of the machine code, which has Numba's calling convention."""
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *arguments)
        native = prototype(self._code.address(name))

        def function(*arguments: float) -> int:
            result = ctypes.c_int64()
            status = native(ctypes.byref(result), None, *arguments)
            assert status == 0, name
            return result.value

        return function
