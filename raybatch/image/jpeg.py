"""A second decoder of JPEGs: simplejpeg (`pip install 'raybatch[fast]'`), where its pixels are those of Pillow.

Both are libjpeg-turbo and decode alike, but simplejpeg copies less. Pillow remains the rule: what is not a plain and sound
JPEG of 8 bits in grey or colour is left to it, so that pixels, errors, warnings and limits are Pillow's.
"""

from __future__ import annotations

import io
import logging
import struct
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from raybatch.image.jpeg_part import PartDecoder
from raybatch.image.view import Rectangle

Pixels = npt.NDArray[np.uint8]

# How a JPEG begins.
MAGIC = b"\xff\xd8\xff"

# What Pillow's `draft` lets the decoder divide the sides by.
SCALES = (1, 2, 4, 8)

_LOGGER = logging.getLogger(__name__)

# ITU-T T.81, table B.1: the second byte of each marker.
_SOS = 0xDA
_PROGRESSIVE = 0xC2
_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)  # baseline, extended and progressive, with Huffman coding
_QUANTIZATION = 0xDB
_NOT_READ = (0xC4, 0xDD, 0xFE)  # Huffman tables, restart interval, comment
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF

_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length from here on
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components

_MODES = {1: "L", 3: "RGB"}
_COLOUR_SPACES = {"L": "GRAY", "RGB": "RGBX"}
_CHANNELS = {"L": 1, "RGB": 4}

# simplejpeg counts the bytes of an image in 32 bits.
_MOST_PIXELS = (1 << 29) - 1

# TurboJPEG takes the largest of the scales n/8 that gives no more pixels than asked for, and within a block two can give as many.
_BLOCK = 8

# Colours are smoothed over the pixels beside, of which the last may be missing.
_EDGE = 8

# A larger image gets memory of its own, so that a thread does not keep that of the largest it ever saw.
_MOST_KEPT_BYTES = 16 << 20

_thread = threading.local()


class JpegHeader(NamedTuple):
    """What the markers before the first scan say: size in pixels, Pillow's mode, and the bytes of EXIF and XMP, if any.

    `opened` is the image that Pillow opened, if it had to look at them too. If it `is_progressive`, it is in several scans.
    """

    width: int
    height: int
    mode: str
    exif: bytes | None = None
    xmp: bytes | None = None
    opened: Image.Image | None = None
    is_progressive: bool = False

    def getexif(self) -> Image.Exif:
        """Return what `getexif` of the image that Pillow opens returns; its errors and warnings, too."""
        if self.opened is not None:
            return self.opened.getexif()
        image = Image.Image()
        if self.exif is not None:
            image.info["exif"] = self.exif
        if self.xmp is not None:
            image.info["xmp"] = self.xmp
        return image.getexif()


class _NotPlainError(Exception):
    """A JPEG that simplejpeg must not decode."""


def header(data: bytes) -> JpegHeader | None:
    """Return the header of the JPEG file that `data` holds; None if Pillow must open and decode it.

    Pillow would open what has a header, as one of this size and mode, and what it would warn of is given here. It may still
    fail to load it; `decode` then returns None. Limits on the number of pixels are the caller's.
    """
    if not is_usable() or not _has_own_plugin():
        return None
    try:
        found, is_plain = _read_markers(data)
    except (_NotPlainError, struct.error):
        return None
    return found if is_plain else _opened(data, found)


def decode(data: bytes, header: JpegHeader, scale: int = 1) -> Pixels | None:
    """Return the pixels of `data`, which has `header`, its sides divided by `scale` and rounded up; None if Pillow must do it.

    They are those that Pillow loads after `draft`. uint8, (H, W, 4) for RGB, with a fourth byte that means nothing, and
    (H, W) for L. `scale` is one of `SCALES`. They are valid until this thread decodes another image.
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
        # Damaged files are Pillow's, which may say that it can show them nevertheless.
        return None
    return pixels if header.mode == "RGB" else pixels[:, :, 0]


def decode_part(
    data: bytes, header: JpegHeader, scale: int, part: Rectangle
) -> tuple[Pixels, int, int] | None:
    """Return pixels as `decode` does, of `part` (left, upper, right, lower) at least, and the column and the row where they begin.

    Pillow's own library decodes a part alone where it can be called; simplejpeg decodes all.
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
    # Of scans that are missing, libjpeg-turbo guesses what they would say from the blocks around.
    left, top, right, bottom = (0, 0, width, height) if header.is_progressive else part
    top = max(0, top - _EDGE)
    around = max(0, left - _EDGE), top, min(width, right + _EDGE), min(height, bottom + _EDGE)
    decoded = decoder.decode(data, scale, _CHANNELS[header.mode], around, _memory)
    return None if decoded is None else (*decoded, top)


@cache
def _part_decoder() -> PartDecoder | None:
    """Return what decodes parts, if a look at it shows the pixels of Pillow; None without it."""
    try:
        decoder = PartDecoder()
        is_right = all(_is_part_alike(data, decoder) for _, data in _samples())
    except (ImportError, OSError):
        return None
    if not is_right:
        _LOGGER.warning("parts of JPEGs are not decoded alone: their pixels are not Pillow's")
    return decoder if is_right else None


def is_usable() -> bool:
    """Return whether a second decoder has Pillow's pixels."""
    return _part_decoder() is not None or fault() is None


@cache
def fault() -> str | None:
    """Return why simplejpeg is not used: "no simplejpeg", or what is wrong with it; None if it is."""
    decode_jpeg = _decoder()
    if decode_jpeg is None:
        return "no simplejpeg"
    try:
        differing = [name for name, data in _samples() if not _is_decoded_alike(data)]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if differing:
        _LOGGER.warning("simplejpeg is not used: its pixels are not Pillow's for %s", differing)
        return f"its pixels are not Pillow's ({', '.join(differing)})"
    return None


@cache
def _decoder() -> Callable[..., Any] | None:
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    return decode_jpeg  # type: ignore[no-any-return]


def _has_own_plugin() -> bool:
    """Return whether JPEGs are opened by Pillow's plug-in, not by one that the program has put in its place."""
    factory, _ = Image.OPEN.get("JPEG", (None, None))
    return factory is JpegImagePlugin.jpeg_factory


def _read_markers(data: bytes) -> tuple[JpegHeader, bool]:
    """Return what the markers of `data` say, and whether it is certain that no application segment troubles Pillow.

    Raises `_NotPlainError` or struct.error for what is not a plain JPEG.
    """
    frame: bytes | None = None
    is_progressive = False
    metadata = _Metadata()
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            if frame is not None:
                raise _NotPlainError
            frame, is_progressive = data[start:end], marker == _PROGRESSIVE
        elif _APP0 <= marker <= _APP15:
            metadata.add(marker, data[start:end])
        elif marker == _QUANTIZATION:
            _check_tables(data[start:end])
        elif marker not in _NOT_READ:
            raise _NotPlainError
    if frame is None:
        raise _NotPlainError
    found = JpegHeader(*_size_and_mode(frame), metadata.exif, metadata.xmp, None, is_progressive)
    return found, metadata.is_plain


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterate over the segments before the first scan: marker, and where its content begins and ends.

    Bytes to fill up, or markers without content, between them are legal but rare, so they are not plain.
    """
    if not data.startswith(b"\xff\xd8"):
        raise _NotPlainError
    at = 2
    while True:
        prefix, marker, length = _SEGMENT.unpack_from(data, at)
        start, at = at + 4, at + 2 + length
        if prefix != 0xFF:
            raise _NotPlainError
        if marker == _SOS:
            if at > len(data):
                raise _NotPlainError
            return
        yield marker, start, at


def _size_and_mode(frame: bytes) -> tuple[int, int, str]:
    """Return width, height and mode from the content of a frame header (T.81, figure B.3)."""
    precision, height, width, components = _FRAME.unpack_from(frame)
    if precision != 8 or components not in _MODES or len(frame) != _FRAME.size + 3 * components:
        raise _NotPlainError
    # A height of 0 is told after the first scan; neither decoder reads that.
    if not 0 < width * height <= _MOST_PIXELS:
        raise _NotPlainError
    return width, height, _MODES[components]


def _check_tables(tables: bytes) -> None:
    """Raise `_NotPlainError` if the content of a segment of quantization tables ends within one (T.81, figure B.6)."""
    while tables:
        length = 65 if tables[0] < 16 else 129
        _at_least(length, tables)
        tables = tables[length:]


class _Metadata:
    """What the application segments of a JPEG hold, as far as it matters here, read as Pillow's plug-in does."""

    def __init__(self) -> None:
        self.exif: bytes | None = None
        self.xmp: bytes | None = None
        self._has_resolution = False
        self._needs_pillow = False

    @property
    def is_plain(self) -> bool:
        """Whether Pillow reads these segments without an error or a warning, whatever they hold."""
        # Without a resolution from JFIF, Pillow looks for one in the EXIF data.
        return not self._needs_pillow and (self.exif is None or self._has_resolution)

    def add(self, marker: int, content: bytes) -> None:
        """Take in one segment; `_NotPlainError` if it is too short for what it claims to be."""
        if marker == _APP0 and content.startswith(b"JFIF"):
            _at_least(14, content)
            self._has_resolution |= content[7] in (1, 2)
        elif marker == _APP1 and content.startswith(b"Exif\0\0"):
            self.exif = content if self.exif is None else self.exif + content[6:]
        elif marker == _APP1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            self.xmp = content.split(b"\0", 1)[1]
        elif marker == _APP2 and content.startswith(b"ICC_PROFILE\0"):
            _at_least(14, content)
        elif marker == _APP14 and content.startswith(b"Adobe"):
            _at_least(12, content)
        elif content.startswith((b"MPF\0", b"Photoshop 3.0\0")):
            self._needs_pillow = True


def _at_least(length: int, content: bytes) -> None:
    if len(content) < length:
        raise _NotPlainError


def _opened(data: bytes, found: JpegHeader) -> JpegHeader | None:
    """Return `found` with the image that Pillow opens, whose warnings are given here; None if it opens none."""
    try:
        image = JpegImagePlugin.jpeg_factory(io.BytesIO(data))
    except Exception:
        # Pillow will raise it again.
        return None
    return found._replace(opened=image)


def _memory(length: int) -> Pixels:
    """Return memory for `length` bytes or more: that of this thread, used again for each image, or more than may be kept.

    No row of four bytes a pixel begins in it at a multiple of 16. There libjpeg-turbo would write past the caches (MOVNTDQ in
    simd/x86_64/jdcolext-avx2.asm), which takes a tenth of the time to decode, and whoever reads the pixels would wait.
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
    """Iterate over small JPEGs of the kinds that decoders may treat differently: a name, and the file."""
    # Noise, over which there are slopes and edges.
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
    # What is not known yet is guessed from the blocks around.
    second_scan = progressive.index(b"\xff\xda", progressive.index(b"\xff\xda") + 2)
    yield "first scan", progressive[:second_scan] + b"\xff\xd9"


def _encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def _is_decoded_alike(data: bytes) -> bool:
    """Return whether Pillow and simplejpeg give the same pixels of `data` at each scale."""
    found, _ = _read_markers(data)
    for scale in SCALES:
        pixels, wanted = decode(data, found, scale), _by_pillow(data, found, scale)
        if pixels is None or not np.array_equal(_shown(pixels), wanted):
            return False
    return True


def _is_part_alike(data: bytes, decoder: PartDecoder) -> bool:
    """Return whether Pillow and `decoder` give the same pixels of a part of `data` at each scale."""
    found, _ = _read_markers(data)
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
