"""The header of a JPEG file, and whether it is so plain that a second decoder may have it.

Pillow remains the rule: what is not a plain and sound JPEG of 8 bits in grey or colour is left to it, so that pixels, errors,
warnings and limits are Pillow's.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, JpegImagePlugin

# How a JPEG begins.
MAGIC = b"\xff\xd8\xff"

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

_MODES = {1: "L", 3: "RGB"}

# simplejpeg counts the bytes of an image in 32 bits.
_MOST_PIXELS = (1 << 29) - 1


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
    if not _has_own_plugin():
        return None
    try:
        found, is_plain = read_markers(data)
    except (_NotPlainError, struct.error):
        return None
    return found if is_plain else _opened(data, found)


def _has_own_plugin() -> bool:
    """Return whether JPEGs are opened by Pillow's plug-in, not by one that the program has put in its place."""
    factory, _ = Image.OPEN.get("JPEG", (None, None))
    return factory is JpegImagePlugin.jpeg_factory


def read_markers(data: bytes) -> tuple[JpegHeader, bool]:
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
