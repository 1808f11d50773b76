"""Computes the pixels of a view of an image, in one pass.

The pixels are Pillow's, bit for bit. A compiled kernel handles most modes and filters: it crops,
scales, mirrors and normalises in one pass, from the memory of the image straight to that of the
result. For other modes and filters Pillow does one step after the other.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageMode

from raybatch.checks import one_of
from raybatch.image.kernel import Memory, usable_kernel
from raybatch.image.view import Fill, Mirror, Scale, Size, View

Array: TypeAlias = npt.NDArray[np.uint8]


class Part(NamedTuple):
    """The pixels of an image of `size` that a view needs, from column `left` and row `top` on."""

    pixels: Array
    left: int
    top: int
    size: Size


# An image in memory: a Pillow image, or a uint8 array (H, W, 3) for RGB, (H, W) for L, and (H, W,
# 4) for RGB with an unused byte. A `Part` holds only some of the pixels.
Pixels: TypeAlias = Image.Image | Array | Part

RESAMPLING = {resampling.name.lower(): resampling for resampling in Image.Resampling}

# The modes with 8-bit channels that Pillow resamples directly: bytes per pixel, and channels.
_MODES = {
    "L": (1, 1),
    "RGB": (4, 3),
    "RGBX": (4, 4),
    "CMYK": (4, 4),
    "YCbCr": (4, 3),
    "HSV": (4, 3),
}


def filter_name(name: str, value: Any) -> str:
    """Return the lower-case name of a Pillow filter; an error names the setting and the value."""
    if isinstance(value, int):
        return Image.Resampling(value).name.lower()
    return one_of(name, value, RESAMPLING)


def size_of(pixels: Pixels) -> Size:
    """Return the width and the height of an image."""
    if isinstance(pixels, (Image.Image, Part)):
        return pixels.size
    return pixels.shape[1], pixels.shape[0]


def as_image(pixels: Image.Image | Array) -> Image.Image:
    """Return an image as a Pillow image."""
    if isinstance(pixels, Image.Image):
        return pixels
    if pixels.shape[2:] == (4,):
        return Image.frombytes("RGB", size_of(pixels), pixels, "raw", "RGBX")
    return Image.fromarray(pixels)


def image_of(pixels: Pixels, view: View) -> Image.Image:
    """Return `view` of an image as a Pillow image; the image itself if the view is all of it."""
    if view.is_all and not isinstance(pixels, Part):
        return as_image(pixels)
    if view.scale is not None or isinstance(pixels, Part):
        mode = _mode_of(pixels)
        image = Image.new(mode, view.size, colour(mode, view.fill))
        canvas = _canvas_of(image)
        if canvas is not None and write_view(pixels, view, canvas):
            if isinstance(pixels, Image.Image):
                image.info = pixels.info.copy()
            return image
    if isinstance(pixels, Part):
        return Image.fromarray(_array_of_part(pixels, view))
    return _by_pillow(as_image(pixels), view)


def _array_of_part(part: Part, view: View) -> Array:
    array = np.empty((*view.size[::-1], 3)[: part.pixels.ndim], np.uint8)
    array[...] = view.fill
    if not write_view(part, view, array):
        raise ValueError(f"the view is outside the image of {part.size} pixels: {view}")
    return array


def array_of(pixels: Array, view: View) -> Array:
    """Return `view` of an array as an array, in the same memory if possible."""
    if view.scale is None and not view.has_margin:
        left, top, right, bottom = view.window
        part = pixels[top:bottom, left:right]
        return np.ascontiguousarray(_mirrored(part, view.mirror)) if any(view.mirror) else part
    out = np.empty((*view.size[::-1], *pixels.shape[2:]), np.uint8)
    if not write_view(pixels, view, out):
        out[...] = _by_pillow(as_image(pixels), view)
        return out
    for edge in margins(out, view):
        edge[...] = view.fill
    return out


def write_view(
    pixels: Pixels,
    view: View,
    out: npt.NDArray[Any],
    table: npt.NDArray[np.float32] | None = None,
) -> bool:
    """Write `view` of an image into `out`; return whether the kernel could.

    `out` is an array (H, W, C) or (H, W) with any strides. It is uint8, or float32 with a `table`,
    `(C, 256)`, that holds the value of each byte. Pixels of `out` outside the image are left
    unchanged; see `margins`.
    """
    kernel = usable_kernel()
    if kernel is None or any(view.flip):
        return False
    memory = memory_of(pixels)
    if memory is None:
        return False
    left, top, right, bottom = view.region
    source: Memory = (
        memory.address + top * memory.stride + left * memory.pixel_bytes,
        memory.stride,
        memory.pixel_bytes,
        1 if out.ndim == 2 else out.shape[2],
        right - left,
        bottom - top,
    )
    part, (x, y) = view.visible, view.window[:2]
    inner = _mirrored(out, view.mirror)[part[1] - y : part[3] - y, part[0] - x : part[2] - x]
    if not inner.size:
        return True
    scale = view.scale or _unscaled(view.scaled_size)
    place = (inner.ctypes.data, *inner.strides, 0)[:4]
    values = 0 if table is None else table.ctypes.data
    return kernel.resample(source, scale.size, scale.resample.name, scale.box, place, values, part)


def margins(out: npt.NDArray[Any], view: View) -> list[npt.NDArray[Any]]:
    """Return the edges of `out`, (H, W, C) or (H, W), where `view` reaches beyond the image."""
    if not view.has_margin:
        return []
    canvas = _mirrored(out, view.mirror)
    left, top, right, bottom = view.visible
    x, y = view.window[:2]
    left, top, right, bottom = left - x, top - y, right - x, bottom - y
    return [canvas[:top], canvas[bottom:], canvas[top:bottom, :left], canvas[top:bottom, right:]]


def reduced(image: Image.Image, view: View, gap: float) -> tuple[Image.Image, View]:
    """Return `image` reduced by whole factors, and `view` of the reduced image.

    The box of the view stays at least `gap` times larger than its result. This is the first of the
    two steps of `Image.resize(..., reducing_gap=gap)`.
    """
    scale = view.scale
    if scale is None or image.mode not in _MODES:
        return image, view
    left, top, right, bottom = scale.box
    factors = (
        int((right - left) / scale.size[0] / gap) or 1,
        int((bottom - top) / scale.size[1] / gap) or 1,
    )
    if factors == (1, 1):
        return image, view
    image = _region_of(image, view)
    around = image._get_safe_box(scale.size, scale.resample, scale.box)
    image = image.reduce(factors, around)
    box = (
        (left - around[0]) / factors[0],
        (top - around[1]) / factors[1],
        (right - around[0]) / factors[0],
        (bottom - around[1]) / factors[1],
    )
    smaller = View.of(image.size)
    return image, view._replace(
        whole=smaller.whole, region=smaller.region, scale=scale._replace(box=box), flip=Mirror()
    )


def can_write(mode: str, view: View) -> bool:
    """Return whether `write_view` can write `view` of an array with pixels of `mode`."""
    kernel = usable_kernel()
    if kernel is None or mode not in _MODES or any(view.flip):
        return False
    return view.scale is None or view.scale.resample.name in kernel.filters


def _by_pillow(image: Image.Image, view: View) -> Image.Image:
    image = _region_of(image, view)
    if view.scale is not None:
        image = image.resize(*view.scale)
    if view.has_margin:
        image = _on_canvas(image, view)
    elif view.window != (0, 0, *image.size):
        image = image.crop(view.window)
    return _transposed(image, view.mirror)


def _region_of(image: Image.Image, view: View) -> Image.Image:
    image = _transposed(image, view.flip)
    return image if view.region == (0, 0, *image.size) else image.crop(view.region)


def _on_canvas(image: Image.Image, view: View) -> Image.Image:
    canvas = Image.new(image.mode, view.size, colour(image.mode, view.fill))
    palette = image.getpalette() if image.palette else None
    if palette is not None:
        canvas.putpalette(palette)
    part, (x, y) = view.visible, view.window[:2]
    canvas.paste(image.crop(part), (part[0] - x, part[1] - y))
    return canvas


def _transposed(image: Image.Image, mirror: Mirror) -> Image.Image:
    if mirror.columns:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if mirror.rows else image


def _mirrored(array: npt.NDArray[Any], mirror: Mirror) -> npt.NDArray[Any]:
    return array[:: -1 if mirror.rows else 1, :: -1 if mirror.columns else 1]


def _unscaled(size: Size) -> Scale:
    """Return the scaling that leaves every pixel unchanged."""
    return Scale(size, Image.Resampling.BOX, (0, 0, *size))


def check_fill_of(channels: int, fill: Fill) -> None:
    """Raise ValueError unless `fill` has one value, or one for each of the `channels`."""
    if isinstance(fill, tuple) and len(fill) != channels:
        raise ValueError(
            f"fill must have one value, or one for each of the {channels} channels, not {fill}"
        )


def colour(mode: str, fill: Fill) -> Fill:
    """Return `fill` in the form that Pillow takes for `mode`.

    ValueError if `fill` has another number of channels.
    """
    bands = len(ImageMode.getmode(mode).bands)
    check_fill_of(bands, fill)
    return fill if isinstance(fill, tuple) or bands == 1 else (fill,) * bands


class _Memory(NamedTuple):
    """Where pixels lie: address, bytes per row, bytes per pixel; `owner` keeps the memory alive."""

    address: int
    stride: int
    pixel_bytes: int
    owner: Any


def _mode_of(pixels: Pixels) -> str:
    if isinstance(pixels, Part):
        pixels = pixels.pixels
    if isinstance(pixels, Image.Image):
        return pixels.mode
    return "RGB" if pixels.ndim == 3 else "L"


def memory_of(pixels: Pixels) -> _Memory | None:
    """Return where the pixels of an image lie; None if the kernel cannot read them."""
    if isinstance(pixels, Image.Image):
        pixel_bytes, _ = _MODES.get(pixels.mode, (0, 0))
        if not pixel_bytes:
            return None
        pixels.load()
        # A read-only image uses the memory of another object. Asking for its address crashes Pillow
        # before version 13.
        if pixels.readonly:
            pixels = pixels.copy()
        try:
            memory = pa.array(pixels).buffers()[-1]
        except ValueError:  # Pillow keeps the pixels in several blocks
            return None
        return _Memory(memory.address, pixels.width * pixel_bytes, pixel_bytes, memory)
    if isinstance(pixels, Part):
        memory = memory_of(pixels.pixels)
        assert memory is not None
        # The address that the first pixel of the whole image would have.
        before = pixels.top * memory.stride + pixels.left * memory.pixel_bytes
        return memory._replace(address=memory.address - before)
    pixel_bytes = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.strides[1:] != (pixel_bytes, 1)[-pixels.ndim + 1 :] or pixels.strides[0] < 0:
        return None
    return _Memory(pixels.ctypes.data, pixels.strides[0], pixel_bytes, pixels)


def _canvas_of(image: Image.Image) -> npt.NDArray[np.uint8] | None:
    """Return the memory of a new image, (H, W) or (H, W, 4); None if the kernel cannot write it."""
    memory = memory_of(image)
    if memory is None:
        return None
    shape = (image.height, image.width, memory.pixel_bytes)[: 2 if memory.pixel_bytes == 1 else 3]
    writable = (ctypes.c_uint8 * math.prod(shape)).from_address(memory.address)
    return np.ctypeslib.as_array(writable).reshape(shape)
