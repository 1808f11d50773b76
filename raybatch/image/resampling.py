"""Part of an image → another size: Pillow's resampling, by a compiled kernel where there is one.

The kernel needs Numba (`pip install 'raybatch[fast]'`), and reads the memory of Pillow's images where that is one
block. It gives the same bits; where it does not apply, Pillow does the work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from raybatch.checks import one_of

if TYPE_CHECKING:
    from raybatch.image.compiled import Kernel, Memory

Box = tuple[float, float, float, float]
Pixels = npt.NDArray[np.uint8]

RESAMPLING = {resampling.name.lower(): resampling for resampling in Image.Resampling}

_LOGGER = logging.getLogger(__name__)

# The modes with 8 bits a channel that Pillow resamples as they are: bytes a pixel, and channels.
_MODES = {
    "L": (1, 1),
    "RGB": (4, 3),
    "RGBX": (4, 4),
    "CMYK": (4, 4),
    "YCbCr": (4, 3),
    "HSV": (4, 3),
}


def filter_name(name: str, value: Any) -> str:
    """Return the name in lower case of one of Pillow's filters; ValueError, naming the setting, for another value."""
    if isinstance(value, int):
        return Image.Resampling(value).name.lower()
    return one_of(name, value, RESAMPLING)


def resized(
    image: Image.Image | Pixels, size: tuple[int, int], resample: Image.Resampling, box: Box
) -> Image.Image:
    """Return `image.resize(size, resample, box)`; `size` is (width, height).

    An array is uint8, (H, W, 3) for RGB or (H, W) for L, and stands for the image of `Image.fromarray`.
    """
    kernel = _kernel()
    source = _source(image) if kernel is not None else None
    if kernel is not None and source is not None:
        result = Image.new(source.mode, size)
        # The memory of an image that nobody has seen yet.
        target = _source(result)
        if target is not None:
            address, stride, pixel_bytes, *_ = target.memory
            memory = (*source.memory[:3], pixel_bytes, *source.memory[4:])
            out = address, stride, pixel_bytes, 1
            if kernel.resample(memory, size, resample.name, box, out):
                return result
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    return image.resize(size, resample, box)


def resample_into(
    image: Image.Image | Pixels,
    resample: Image.Resampling,
    box: Box,
    out: npt.NDArray[Any],
    table: npt.NDArray[np.float32] | None = None,
) -> bool:
    """Write what `image.resize((W, H), resample, box)` returns into `out`; return whether the kernel could.

    `image` is as in `resized`. `out` is an array (H, W, C) or (H, W) of any strides: of uint8, or of float32 with the `(C, 256)`
    values of `table` for the bytes.
    """
    kernel = _kernel()
    source = _source(image) if kernel is not None else None
    if kernel is None or source is None:
        return False
    height, width = out.shape[:2]
    place = (out.ctypes.data, *out.strides, 0)[:4]
    values = 0 if table is None else table.ctypes.data
    return kernel.resample(source.memory, (width, height), resample.name, box, place, values)


@dataclass(frozen=True)
class ResizedPart:
    """`resized(image, size, resample, box)`, not made yet, its `rows` and `columns` in order (1) or backwards (-1)."""

    image: Image.Image | Pixels
    size: tuple[int, int]
    resample: Image.Resampling
    box: Box
    rows: int = 1
    columns: int = 1

    def array(self) -> Pixels:
        """Return the pixels, as contiguous uint8 (H, W, 3) or (H, W); `image` must be an array."""
        assert isinstance(self.image, np.ndarray)
        width, height = self.size
        out = np.empty((height, width, *self.image.shape[2:]), np.uint8)
        view = out[:: self.rows, :: self.columns]
        if not resample_into(self.image, self.resample, self.box, view):
            view[:] = resized(self.image, self.size, self.resample, self.box)
        return out


def can_resample(image: Image.Image, resample: Image.Resampling) -> bool:
    """Return whether `resample_into` has a kernel for images such as `image`."""
    kernel = _kernel()
    return kernel is not None and image.mode in _MODES and resample.name in kernel.filters


@dataclass(frozen=True)
class _Source:
    """Where the pixels of an image lie, as the kernel takes it; `owner` keeps them alive."""

    mode: str
    memory: Memory
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
        rows = memory.address, image.width * pixel_bytes
        return _Source(image.mode, (*rows, pixel_bytes, channels, *image.size), memory)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.strides[1:] != (channels, 1)[-image.ndim + 1 :] or image.strides[0] < 0:
        return None
    mode = "RGB" if channels == 3 else "L"
    height, width = image.shape[:2]
    rows = image.ctypes.data, image.strides[0]
    return _Source(mode, (*rows, channels, channels, width, height), image)


def has_kernel() -> bool:
    """Return whether 8-bit images are resampled by the compiled kernel; the first call on a host compiles it."""
    return _kernel() is not None


@cache
def _kernel() -> Kernel | None:
    """Return the kernel if its pixels are those of the Pillow that is installed, None without one."""
    try:
        from raybatch.image.compiled import Kernel

        kernel = Kernel()
    except ImportError:
        return None
    except RuntimeError as error:
        _LOGGER.warning("Pillow resizes images, since there is no compiled kernel: %s", error)
        return None
    noise = np.random.default_rng(0).integers(0, 256, (90, 20, 3), np.uint8)
    size, resample, box = (15, 12), Image.Resampling.BICUBIC, (0.0, 0.0, 20.0, 90.0)
    wanted = np.asarray(Image.fromarray(noise).resize(size, resample, box))
    source, out = _source(noise), np.empty_like(wanted)
    assert source is not None
    for is_vertical_first in (False, True):
        kernel.tall_vertical_first = is_vertical_first
        kernel.resample(source.memory, size, resample.name, box, (out.ctypes.data, *out.strides))
        if np.array_equal(out, wanted):
            return kernel
    return None
