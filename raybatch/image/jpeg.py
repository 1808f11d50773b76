"""Decodes JPEGs into arrays, with Pillow's pixels.

With the compiled kernel, C code calls the libjpeg that Pillow has loaded, and need not decode more
than a part of an image. Without the kernel, simplejpeg (`pip install 'raybatch[fast]'`) decodes the
whole image with its own libjpeg-turbo. Before its first use, each decoder is compared with Pillow
on small samples. Pillow decodes whatever they cannot.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from raybatch.image.jpeg_header import JpegHeader, read_markers
from raybatch.image.jpeg_part import PartDecoder
from raybatch.image.view import Rectangle

Pixels = npt.NDArray[np.uint8]

# Pillow's `draft` lets the decoder divide the sides by these.
SCALES = (1, 2, 4, 8)

_LOGGER = logging.getLogger(__name__)

_COLOUR_SPACES = {"L": "GRAY", "RGB": "RGBX"}
_CHANNELS = {"L": 1, "RGB": 4}

# TurboJPEG takes the largest scale n/8 that gives no more pixels than asked for. In an image of one
# block, two scales can give the same size, and it might take the wrong one.
_BLOCK = 8

# The decoder smooths colours over neighbouring pixels, which are missing at the edges of a part. So
# this many more pixels are decoded around it.
_EDGE = 8

# A larger image gets memory of its own. Otherwise a thread would keep the memory of the largest
# image that it ever decoded.
_MOST_KEPT_BYTES = 16 << 20

_thread = threading.local()


def decode(data: bytes, header: JpegHeader, scale: int = 1) -> Pixels | None:
    """Return the pixels of the JPEG file `data`, whose sides are divided by `scale` and rounded up.

    None if Pillow must decode it. `header` is the header of the file, and `scale` one of `SCALES`.
    The pixels equal those that Pillow loads after `draft`. They are uint8: (H, W, 4) for RGB, with
    an unused fourth byte, and (H, W) for L. They are valid until this thread decodes another image.
    """
    width, height = -(-header.width // scale), -(-header.height // scale)
    if scale > 1 and max(header.width, header.height) <= _BLOCK:
        return None
    decode_jpeg = _decoder()
    if decode_jpeg is None:
        return None
    try:
        pixels: Pixels = decode_jpeg(
            data,
            _COLOUR_SPACES[header.mode],
            min_height=height,
            min_width=width,
            buffer=_memory(height * width * _CHANNELS[header.mode]),
        )
    except Exception:
        # Damaged files are left to Pillow, which may accept them nevertheless.
        return None
    return pixels if header.mode == "RGB" else pixels[:, :, 0]


def decode_part(
    data: bytes, header: JpegHeader, scale: int, part: Rectangle
) -> tuple[Pixels, int, int] | None:
    """Return the pixels of `part`, perhaps with more around it, and their first column and row.

    `part` is (left, upper, right, lower) in the scaled image; the rest is as for `decode`. Pillow's
    libjpeg can decode a part; simplejpeg decodes the whole image.
    """
    decoder = _part_decoder()
    if decoder is not None:
        return _decoded_part(decoder, data, header, scale, part)
    pixels = decode(data, header, scale)
    return None if pixels is None else (pixels, 0, 0)


def _decoded_part(
    decoder: PartDecoder, data: bytes, header: JpegHeader, scale: int, part: Rectangle
) -> tuple[Pixels, int, int] | None:
    width, height = -(-header.width // scale), -(-header.height // scale)
    # If scans are missing, libjpeg-turbo estimates their content from the neighbouring blocks. So a
    # progressive image is decoded whole.
    left, top, right, bottom = (0, 0, width, height) if header.is_progressive else part
    top = max(0, top - _EDGE)
    around = max(0, left - _EDGE), top, min(width, right + _EDGE), min(height, bottom + _EDGE)
    decoded = decoder.decode(data, scale, _CHANNELS[header.mode], around, _memory)
    return None if decoded is None else (*decoded, top)


@cache
def _part_decoder() -> PartDecoder | None:
    """Return the decoder of parts; None if there is none or its pixels differ from Pillow's."""
    try:
        decoder = PartDecoder()
        is_right = all(_is_part_alike(data, decoder) for _, data in _samples())
    except (ImportError, OSError):
        return None
    if not is_right:
        _LOGGER.warning(
            "JPEGs are decoded whole, not in part: the pixels of parts differ from Pillow's"
        )
    return decoder if is_right else None


def is_usable() -> bool:
    """Return whether there is a second decoder whose pixels equal Pillow's."""
    return _part_decoder() is not None or fault() is None


@cache
def fault() -> str | None:
    """Return why simplejpeg cannot be used; None if it can."""
    decode_jpeg = _decoder()
    if decode_jpeg is None:
        return "no simplejpeg"
    try:
        differing = [name for name, data in _samples() if not _is_decoded_alike(data)]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if differing:
        _LOGGER.warning("simplejpeg is not used: its pixels differ from Pillow's for %s", differing)
        return f"its pixels differ from Pillow's ({', '.join(differing)})"
    return None


@cache
def _decoder() -> Callable[..., Any] | None:
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return decode_jpeg  # type: ignore[no-any-return]


def _memory(length: int) -> Pixels:
    """Return memory for at least `length` bytes, which this thread reuses for each image.

    In it, rows of four bytes per pixel never begin at a multiple of 16. At such addresses
    libjpeg-turbo writes past the caches (MOVNTDQ in simd/x86_64/jdcolext-avx2.asm). That takes a
    tenth of the decoding time, and the next step must wait for the pixels.
    """
    kept: Pixels | None = getattr(_thread, "memory", None)
    if kept is not None and len(kept) >= length:
        return kept
    block = np.empty(length + 3, np.uint8)
    start = (2 - block.ctypes.data) % 4
    memory = block[start : start + length]
    if length <= _MOST_KEPT_BYTES:
        _thread.memory = memory
    return memory


def _samples() -> Iterator[tuple[str, bytes]]:
    """Iterate over the names and files of small JPEGs that decoders may treat differently."""
    # The planes combine noise, slopes and edges.
    y, x = np.ogrid[:37, :41]
    planes = [
        (3 * x + 5 * y + 2 * x * y * y) % 89 + 166 * (x // 16 % 2 == y // 9 % 2),
        6 * x + 0 * y,
        256 - 6 * y + 0 * x,
    ]
    image = Image.fromarray(np.stack(planes, axis=2).astype(np.uint8))
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        yield subsampling, _encoded(image, subsampling=subsampling)
    yield "grey", _encoded(image.convert("L"))
    progressive = _encoded(image, progressive=True)
    yield "progressive", progressive
    # This file lacks its later scans, whose content the decoder estimates from neighbouring blocks.
    second_scan = progressive.index(b"\xff\xda", progressive.index(b"\xff\xda") + 2)
    yield "first scan", progressive[:second_scan] + b"\xff\xd9"


def _encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def _is_decoded_alike(data: bytes) -> bool:
    """Return whether Pillow and simplejpeg give the same pixels of `data` at each scale."""
    found, _ = read_markers(data)
    for scale in SCALES:
        pixels, wanted = decode(data, found, scale), _by_pillow(data, found, scale)
        if pixels is None or not np.array_equal(_shown(pixels), wanted):
            return False
    return True


def _is_part_alike(data: bytes, decoder: PartDecoder) -> bool:
    """Return whether Pillow and `decoder` agree on a part of `data` at each scale."""
    found, _ = read_markers(data)
    for scale in SCALES:
        wanted = _by_pillow(data, found, scale)
        height, width = wanted.shape[:2]
        left, top, right, bottom = part = width // 2, height // 2, width - width // 4, height
        decoded = _decoded_part(decoder, data, found, scale, part)
        if decoded is None:
            return False
        pixels, x, y = decoded
        shown = _shown(pixels)[top - y : bottom - y, left - x : right - x]
        if not np.array_equal(shown, wanted[top:bottom, left:right]):
            return False
    return True


def _by_pillow(data: bytes, found: JpegHeader, scale: int) -> Pixels:
    with JpegImagePlugin.jpeg_factory(io.BytesIO(data)) as image:
        image.draft(None, (found.width // scale, found.height // scale))
        return np.asarray(image)


def _shown(pixels: Pixels) -> Pixels:
    return pixels[..., :3] if pixels.ndim == 3 else pixels
