"""Part of an image → another size: Pillow's resampling, by a compiled kernel where there is one.

The kernel needs Numba (`pip install 'raybatch[fast]'`), and reads the memory of Pillow's images where that is one
block. It gives the same bits; where it does not apply, Pillow does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

Box = tuple[float, float, float, float]
Pixels = npt.NDArray[np.uint8]

# The modes with 8 bits a channel that Pillow resamples as they are: bytes a pixel, and channels.
_MODES = {
    "L": (1, 1),
    "RGB": (4, 3),
    "RGBX": (4, 4),
    "CMYK": (4, 4),
    "YCbCr": (4, 3),
    "HSV": (4, 3),
}


def resized(
    image: Image.Image | Pixels, size: tuple[int, int], resample: Image.Resampling, box: Box
) -> Image.Image:
    """Return `image.resize(size, resample, box)`; `size` is (width, height).

    An array is uint8, (H, W, 3) for RGB or (H, W) for L, and stands for the image of `Image.fromarray`.
    """
    source = _source(image) if _kernel() is not None else None
    if source is not None:
        result = Image.new(source.mode, size)
        # The memory of an image that nobody has seen yet.
        target = _source(result)
        if target is not None:
            strides = (target.stride, target.pixel_bytes, 1)
            whole = target.pixel_bytes
            if _resample(source, size, resample, box, whole, target.address, strides):
                return result
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    return image.resize(size, resample, box)


def resample_into(
    image: Image.Image,
    resample: Image.Resampling,
    box: Box,
    out: npt.NDArray[Any],
    table: npt.NDArray[np.float32] | None = None,
) -> bool:
    """Write what `image.resize((W, H), resample, box)` returns into `out`; return whether the kernel could.

    `out` is an array (H, W, C) or (H, W) of any strides above 0: of uint8, or of float32 with the `(C, 256)`
    values of `table` for the bytes.
    """
    source = _source(image) if _kernel() is not None else None
    if source is None:
        return False
    height, width = out.shape[:2]
    strides = out.strides if out.ndim == 3 else (*out.strides, 0)
    values = 0 if table is None else table.ctypes.data
    return _resample(
        source, (width, height), resample, box, source.channels, out.ctypes.data, strides, values
    )


def can_resample(image: Image.Image, resample: Image.Resampling) -> bool:
    """Return whether `resample_into` has a kernel for images such as `image`."""
    kernel = _kernel()
    return kernel is not None and image.mode in _MODES and resample.name in kernel.filters


@dataclass(frozen=True)
class _Source:
    """The memory of an image: `height` rows from `address` on, `stride` bytes apart; `owner` keeps it alive."""

    mode: str
    width: int
    height: int
    pixel_bytes: int
    channels: int
    address: int
    stride: int
    owner: Any


def _source(image: Image.Image | Pixels) -> _Source | None:
    """Return where the pixels of `image` lie, or None if the kernel cannot read them."""
    if isinstance(image, Image.Image):
        pixel_bytes, channels = _MODES.get(image.mode, (0, 0))
        if not pixel_bytes or not hasattr(image, "__arrow_c_array__"):  # before Pillow 11.2.1
            return None
        try:
            memory = pa.array(image).buffers()[-1]
        except ValueError:  # in several blocks
            return None
        stride = image.width * pixel_bytes
        where = memory.address, stride, memory
        return _Source(image.mode, *image.size, pixel_bytes, channels, *where)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.strides[1:] != (channels, 1)[-image.ndim + 1 :] or image.strides[0] < 0:
        return None
    mode = "RGB" if channels == 3 else "L"
    height, width = image.shape[:2]
    where = image.ctypes.data, image.strides[0], image
    return _Source(mode, width, height, channels, channels, *where)


def _resample(
    source: _Source,
    size: tuple[int, int],
    resample: Image.Resampling,
    box: Box,
    channels: int,
    out: int,
    strides: tuple[int, ...],
    table: int = 0,
) -> bool:
    """Write `channels` of the resampled image to the address `out`; return whether the kernel could."""
    kernel = _kernel()
    # Pillow has the box in single precision. It knows what to say about one that does not fit.
    left, top, right, bottom = map(np.float32, box)
    fits = 0 <= left < right <= source.width and 0 <= top < bottom <= source.height
    if kernel is None or not fits or resample.name not in kernel.filters:
        return False
    columns, rows = size
    lost = source.height - rows
    is_vertical_first = kernel.tall_vertical_first and lost > max(0, 2 * (source.width - columns))
    if is_vertical_first and source.width * source.pixel_bytes < kernel.least_row_bytes:
        return False
    horizontal = resample.name, source.width, float(left), float(right - left) / columns, columns
    vertical = resample.name, source.height, float(top), float(bottom - top) / rows, rows
    kernel(source, channels, horizontal, vertical, is_vertical_first, out, strides, table)
    return True


class _Kernel:
    """The compiled kernel. `tall_vertical_first`: it begins with the vertical pass where an image loses more than
    twice as many rows as columns, as Pillow does from version 13 on.
    """

    def __init__(self) -> None:
        from raybatch.image import compiled

        self._module: Any = compiled
        self.filters = frozenset(compiled.FILTERS)
        self.least_row_bytes = compiled.LEAST_ROW_BYTES
        self.tall_vertical_first = False

    def __call__(
        self,
        source: _Source,
        channels: int,
        horizontal: Any,
        vertical: Any,
        is_vertical_first: bool,
        out: int,
        strides: tuple[int, ...],
        table: int,
    ) -> None:
        """Resample with the arguments of `_weights` for the two passes."""
        x, y = _weights(*horizontal), _weights(*vertical)
        columns, y_taps = len(x[0]), y[1].shape[1]
        size = self._module.scratch_bytes(source.pixel_bytes, source.width, columns, y_taps)
        scratch = np.empty(size, np.uint8)
        self._module.resample(
            source.address, source.stride, source.pixel_bytes, channels, source.width, source.height,
            *x, *y, is_vertical_first, out, strides, table, scratch.ctypes.data,
        )  # fmt: skip


# A batch of photographs has few shapes, a random crop is of a new one each time.
@lru_cache(maxsize=128)
def _weights(name: str, size: int, start: float, scale: float, count: int) -> Any:
    from raybatch.image import compiled

    return compiled.filter_weights(size, start, scale, count, *compiled.FILTERS[name])


@cache
def _kernel() -> _Kernel | None:
    """Return the kernel if its pixels are those of the Pillow that is installed, None without one."""
    try:
        kernel = _Kernel()
    except ImportError:
        return None
    noise = np.random.default_rng(0).integers(0, 256, (90, 20, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(noise).resize((15, 12), Image.Resampling.BICUBIC))
    source, out = _source(noise), np.empty_like(wanted)
    sides = ("BICUBIC", 20, 0.0, 20 / 15, 15), ("BICUBIC", 90, 0.0, 90 / 12, 12)
    for is_vertical_first in (False, True):
        kernel.tall_vertical_first = is_vertical_first
        assert source is not None
        kernel(source, 3, *sides, is_vertical_first, out.ctypes.data, out.strides, 0)
        if np.array_equal(out, wanted):
            return kernel
    return None
