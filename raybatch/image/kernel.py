"""Calls the compiled kernel `kernel.c`, which runs without the GIL."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from raybatch.notices import tell

# An image in memory: address, bytes per row, bytes per pixel (1, 3 or 4), channels to write, width
# and height in pixels.
Memory: TypeAlias = tuple[int, int, int, int, int, int]

# Pillow's filters that the kernel implements, in its order.
FILTERS = ("BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")

# For any processor (with NEON on ARM), for AVX2, for AVX-512, and for AVX-512 with VNNI.
VERSIONS = ("plain", "avx2", "avx512", "vnni")

_NUMBER = ctypes.c_int64

# More threads do not write to memory faster, and starting one takes as long as looking up two
# images.
_MOST_THREADS, _BYTES_PER_THREAD = 4, 2 << 20


_STALE = "it was built from sources that have changed since; reinstall raybatch"


class Kernel:
    """Pillow's resampling, compiled for the processor of this host.

    `version` is one of `VERSIONS`, by default the best that the processor can run. If
    `tall_vertical_first` is true, the vertical pass comes first for an image that loses more than
    twice as many rows as columns, as in Pillow from version 13 on.

    Raises ImportError if the kernel was not built.
    """

    filters = frozenset(FILTERS)

    def __init__(self, version: str | None = None) -> None:
        library = ctypes.CDLL(library_path())
        self._best = int(library.best_version())
        self._version = self._best if version is None else VERSIONS.index(version)
        if self._version > self._best:
            raise ValueError(f"this processor cannot run {version!r}, only {self.versions}")
        self._resample = library.resample
        self._resample.argtypes = [
            *[ctypes.c_int] * 3,
            *[_NUMBER] * 3,
            *[ctypes.c_int] * 2,
            *[ctypes.c_float] * 4,
            *[ctypes.c_int] * 6,
            *[_NUMBER] * 6,
        ]
        self._look_up = library.look_up
        self._look_up.argtypes = [ctypes.c_int, *[_NUMBER] * 9]
        self._look_up.restype = None
        self.tall_vertical_first = False

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that this processor can run."""
        return VERSIONS[: self._best + 1]

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
        """Write `source.resize(size, filter_name, box).crop(window)` to memory.

        Return whether the kernel could. `size` is (width, height); `window` is (left, upper, right,
        lower) and lies inside it. `out` is an address, and the bytes per row, per pixel and per
        channel. `table` is 0 for bytes, or the address of `(channels, 256)` 32-bit values, one for
        each byte. Addresses are not checked. Raises MemoryError if there is not enough memory to
        work in.
        """
        if filter_name not in self.filters:
            return False
        address, stride, pixel_bytes, channels, width, height = source
        columns, rows = size
        # Pillow stores the box in single precision. It also raises an error for a box that does not
        # fit, so such a box is left to Pillow.
        left, top, right, bottom = map(_single, box)
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            return False
        is_vertical_first = self.tall_vertical_first and height - rows > max(
            0, 2 * (width - columns)
        )
        status = self._resample(
            self._version, is_vertical_first, FILTERS.index(filter_name),
            address, stride, pixel_bytes, width, height,
            left, top, right, bottom,
            columns, rows, *(window or (0, 0, columns, rows)),
            *out, channels, table,
        )  # fmt: skip
        if status:
            raise MemoryError(f"not enough memory to resize an image of {width} × {height} pixels")
        return True

    def look_up(
        self, pixels: npt.NDArray[np.uint8], table: npt.NDArray[np.float32], out: npt.NDArray[Any]
    ) -> bool:
        """Look up each byte of `pixels` in `table`, `(C, 256)`, and write its value into `out`.

        Return whether the kernel could. `pixels` is `(n, H, W, C)` or `(H, W, C)`, contiguous.
        `out` is float32 of that shape, with contiguous rows.
        """
        *images, rows, columns, channels = pixels.shape
        is_plain = pixels.flags.c_contiguous and out.dtype == table.dtype == np.float32
        stride, row, pixel, channel = (0, *out.strides)[-4:]
        if (
            not is_plain
            or len(images) > 1
            or row != columns * pixel
            or not table.flags.c_contiguous
        ):
            return False
        source, place, values = pixels.ctypes.data, out.ctypes.data, table.ctypes.data
        size, count = rows * columns, math.prod(images)

        def part(start: int, stop: int) -> None:
            self._look_up(
                self._version, source + start * size * channels, stop - start, size, channels,
                place + start * stride, stride, pixel, channel, values,
            )  # fmt: skip

        bounds = _parts(count, pixels.nbytes)
        if len(bounds) == 2:
            part(0, count)
            return True
        with ThreadPoolExecutor(len(bounds) - 1) as executor:
            for _ in executor.map(part, bounds[:-1], bounds[1:]):
                pass
        return True


def _parts(count: int, nbytes: int) -> list[int]:
    """Return the bounds of the parts into which `count` images are divided, one part a thread.

    A host with few CPUs does all of it in the calling thread.
    """
    threads = min(_MOST_THREADS, _cpus() // 4, nbytes // _BYTES_PER_THREAD, count)
    return [count * number // max(1, threads) for number in range(max(1, threads) + 1)]


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def usable_kernel() -> Kernel | None:
    """Return the kernel if its pixels equal those of the installed Pillow, else None.

    RAYBATCH_KERNEL=none in the environment turns the kernel off.
    """
    return None if fault() is not None else _kernels()[1]


@cache
def fault() -> str | None:
    """Return why Pillow resizes images instead of the kernel; None if the kernel does."""
    if os.environ.get("RAYBATCH_KERNEL") == "none":
        return "RAYBATCH_KERNEL=none"
    return _kernels()[0]


@cache
def _kernels() -> tuple[str | None, Kernel | None]:
    try:
        kernel = Kernel()
    except ImportError as error:
        return str(error), None
    except OSError as error:
        return f"it cannot be loaded: {error}", None
    if kernel.versions == ("plain",) and platform.machine() == "x86_64":
        return "this processor has no AVX2; without it, Pillow is faster", None
    noise = np.random.default_rng(0).integers(0, 256, (90, 20, 3), np.uint8)
    size, resample, box = (15, 12), Image.Resampling.BICUBIC, (0.0, 0.0, 20.0, 90.0)
    wanted = np.asarray(Image.fromarray(noise).resize(size, resample, box))
    memory, out = (noise.ctypes.data, 60, 3, 3, 20, 90), np.empty_like(wanted)
    for is_vertical_first in (False, True):
        kernel.tall_vertical_first = is_vertical_first
        kernel.resample(memory, size, resample.name, box, (out.ctypes.data, *out.strides))
        if np.array_equal(out, wanted):
            return None, kernel
    return "its pixels differ from Pillow's", None


def _single(value: float) -> float:
    """Return `value` in single precision."""
    return ctypes.c_float(value).value


def library_path() -> str:
    """Return the path of the compiled library.

    ImportError if there is none, or if the sources beside it have changed since it was built.
    """
    if os.environ.get("RAYBATCH_KERNEL") == "none":
        raise ImportError("RAYBATCH_KERNEL=none")
    spec: Any = importlib.util.find_spec("raybatch.image._kernel")
    if spec is None:
        raise ImportError("it was not built: there was no C compiler when raybatch was installed")
    # In an editable installation an update can change the sources without a new build. The
    # functions of the old library would then be called wrongly.
    sources = sorted(Path(__file__).parent.glob("*.[ch]"))
    if sources and _built_from(str(spec.origin)) != sha256(_joined(sources)).hexdigest():
        tell(f"raybatch runs without its compiled code, which is slower: {_STALE}")
        raise ImportError(_STALE)
    return str(spec.origin)


def _built_from(library: str) -> str | None:
    try:
        built_from = ctypes.CDLL(library).built_from
    except AttributeError:
        return None
    built_from.restype = ctypes.c_char_p
    digest: bytes = built_from()
    return digest.decode()


def _joined(files: list[Path]) -> bytes:
    return b"".join(file.read_bytes() for file in files)
