"""An image → one of another size, with as little decoded and resampled as its quality allows.

Pillow's resampling is done by a compiled kernel where there is one (`pip install 'raybatch[fast]'`), which reads the memory of
Pillow's images where that is one block. It gives the same bits; where it does not apply, Pillow does the work.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from raybatch.checks import one_of
from raybatch.image.pixels import BoundLayout
from raybatch.stages import stage

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


FITS = ("stretch", "crop", "pad")


class Extent(NamedTuple):
    """How many pixels an image has, from the upper left; fractions where a decoder that shrank it had to round.

    `reducing_gap` is how much larger than the result it stays where it is reduced before it is resampled, or None where
    that is not to be done.
    """

    width: float
    height: float
    reducing_gap: float | None = None


@dataclass(frozen=True)
class Scaling:
    """Scales images to `width` and `height`, the way that `fit` says, with the filter `resample`.

    With `margin`, an image is reduced by whole factors first, as far as it stays `margin` times larger than the
    result: cheap steps, which cost a little quality. The decoder does it where it can, Pillow's `draft`; else it is
    `reducing_gap`. With None every pixel counts, and the result is that of `Image.resize`,
    `ImageOps.fit` or `ImageOps.pad`, where that would have lost a thin image altogether excepted.
    """

    width: int
    height: int
    fit: str
    resample: Image.Resampling
    margin: float | None = None

    def draft(self, image: Image.Image, *, is_turned: bool) -> Extent:
        """Let the decoder of `image`, which is not loaded yet, shrink it; `is_turned`: by a quarter later.

        Returns the extent that it will have.
        """
        if self.margin is None:
            return Extent(*image.size)
        size = Extent(*((image.height, image.width) if is_turned else image.size))
        left, top, right, bottom = self._box(size)
        inner_width, inner_height = self._inner_size(size)
        # How many pixels there must be in the whole of it for those in the box to suffice.
        wanted = (
            math.ceil(self.margin * inner_width * size.width / (right - left)),
            math.ceil(self.margin * inner_height * size.height / (bottom - top)),
        )
        shrunk = image.draft(None, (wanted[1], wanted[0]) if is_turned else wanted)
        return Extent(*image.size, self.margin) if shrunk is None else Extent(*shrunk[1][2:])

    def scaled(self, image: Image.Image, extent: Extent) -> Image.Image:
        """Return `image`, which is loaded, at the size that was asked for."""
        with stage("resize"):
            resized = image.resize(
                self._inner_size(extent),
                self.resample,
                box=self._box(extent),
                reducing_gap=extent.reducing_gap,
            )
        return resized if resized.size == (self.width, self.height) else self._padded(resized)

    def scaled_into(
        self, image: Image.Image, extent: Extent, layout: BoundLayout, out: npt.NDArray[Any]
    ) -> None:
        """Write the pixels of `scaled(image, extent)` into `out`, an array of `layout.shape`."""
        if not (layout.is_of_bytes and can_resample(image, self.resample)):
            return layout.write(self.scaled(image, extent), out)
        size = self._inner_size(extent)
        left, top = self._margins(*size)
        right, bottom = left + size[0], top + size[1]
        canvas = layout.canvas(out)
        inner = canvas[top:bottom, left:right]
        with stage("resize"):
            part, box = self._reduced(image, extent, size)
            is_done = resample_into(part, self.resample, box, inner, layout.table)
        if not is_done:
            return layout.write(self.scaled(image, extent), out)
        if size != (self.width, self.height):
            for edge in (canvas[:top], canvas[bottom:], canvas[:, :left], canvas[:, right:]):
                edge[...] = layout.black
        return None

    def _reduced(
        self, image: Image.Image, extent: Extent, size: tuple[int, int]
    ) -> tuple[Image.Image, Box]:
        """Return `image` after the first of the two steps of `Image.resize`, and what is used of it then."""
        left, top, right, bottom = box = self._box(extent)
        if extent.reducing_gap is None:
            return image, box
        factors = (
            int((right - left) / size[0] / extent.reducing_gap) or 1,
            int((bottom - top) / size[1] / extent.reducing_gap) or 1,
        )
        if factors == (1, 1):
            return image, box
        around = image._get_safe_box(size, self.resample, box)
        x, y = around[:2]
        return image.reduce(factors, around), (
            (left - x) / factors[0],
            (top - y) / factors[1],
            (right - x) / factors[0],
            (bottom - y) / factors[1],
        )

    def _box(self, extent: Extent) -> Box:
        """Return what is used of an image: left, upper, right, lower; as in `ImageOps.fit`."""
        width, height, _ = extent
        ratio = self.width / self.height
        if self.fit != "crop" or width / height == ratio:
            return 0.0, 0.0, float(width), float(height)
        crop_width, crop_height = width, height
        if width / height >= ratio:
            crop_width = ratio * height
        else:
            crop_height = width / ratio
        left, top = (width - crop_width) * 0.5, (height - crop_height) * 0.5
        return left, top, left + crop_width, top + crop_height

    def _inner_size(self, extent: Extent) -> tuple[int, int]:
        """Return the size to which an image is resized, (width, height); as in `ImageOps.contain`."""
        width, height, _ = extent
        if self.fit != "pad":
            return self.width, self.height
        if width / height > self.width / self.height:
            return self.width, max(1, round(height / width * self.width))
        if width / height < self.width / self.height:
            return max(1, round(width / height * self.height)), self.height
        return self.width, self.height

    def _padded(self, image: Image.Image) -> Image.Image:
        """Return `image` in the middle of a black one; as in `ImageOps.pad`."""
        out = Image.new(image.mode, (self.width, self.height))
        palette = image.getpalette() if image.palette else None
        if palette is not None:
            out.putpalette(palette)
        out.paste(image, self._margins(*image.size))
        return out

    def _margins(self, width: int, height: int) -> tuple[int, int]:
        """Return how far from the left and the top an image of this size lies; as in `ImageOps.pad`."""
        return round((self.width - width) * 0.5), round((self.height - height) * 0.5)
