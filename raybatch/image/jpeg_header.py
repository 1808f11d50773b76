"""Reads the header of a JPEG file, and decides whether a second decoder may decode the file.

Only plain and undamaged 8-bit JPEGs in grey or colour qualify. Pillow decodes all others, so
pixels, errors, warnings and limits are always Pillow's.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image, JpegImagePlugin

# The first bytes of a JPEG.
MAGIC = b"\xff\xd8\xff"

# The second byte of each marker, from ITU-T T.81, table B.1.
_SOS = 0xDA
_PROGRESSIVE = 0xC2
_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)  # baseline, extended and progressive, with Huffman coding
_QUANTIZATION = 0xDB
_NOT_READ = (0xC4, 0xDD, 0xFE)  # Huffman tables, restart interval, comment
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF

_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, 2 + length of the content
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components

_MODES = {1: "L", 3: "RGB"}

# simplejpeg counts the bytes of an image in 32 bits.
_MOST_PIXELS = (1 << 29) - 1


class JpegHeader(NamedTuple):
    """The content of the markers before the first scan.

    Args:
        width: In pixels.
        height: In pixels.
        mode: Pillow's mode, "L" or "RGB".
        exif: The EXIF data, if there is any.
        xmp: The XMP data, if there is any.
        opened: The image that Pillow opened, if it had to read the markers too.
        is_progressive: Whether the image is stored in several scans.
    """

    width: int
    height: int
    mode: str
    exif: bytes | None = None
    xmp: bytes | None = None
    opened: Image.Image | None = None
    is_progressive: bool = False

    def getexif(self) -> Image.Exif:
        """Return what `getexif()` of Pillow's image returns, with its errors and warnings."""
        if self.opened is not None:
            return self.opened.getexif()
        image = Image.Image()
        if self.exif is not None:
            image.info["exif"] = self.exif
        if self.xmp is not None:
            image.info["xmp"] = self.xmp
        return image.getexif()


class _NotPlainError(Exception):
    """A JPEG that a second decoder must not decode."""


def header(data: bytes) -> JpegHeader | None:
    """Return the header of the JPEG file in `data`; None if Pillow must open and decode it.

    If this returns a header, Pillow would open the file too, with the same size and mode. Warnings
    that Pillow gives about the file are given here. Decoding may still fail; `decode` then returns
    None. The caller checks limits on the number of pixels.
    """
    if not _has_own_plugin():
        return None
    try:
        found, is_plain = read_markers(data)
    except (_NotPlainError, struct.error):
        return None
    return found if is_plain else _opened(data, found)


def _has_own_plugin() -> bool:
    """Return whether Pillow's own plug-in opens JPEGs. A program can register a different one."""
    factory, _ = Image.OPEN.get("JPEG", (None, None))
    return factory is JpegImagePlugin.jpeg_factory


def read_markers(data: bytes) -> tuple[JpegHeader, bool]:
    """Return the content of the markers of `data`, and whether Pillow certainly accepts them.

    Raises `_NotPlainError` or struct.error for a JPEG that is not plain.
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
    """Iterate over the segments before the first scan: marker, and start and end of the content.

    Fill bytes between segments, and markers without content, are legal but rare. Files with them
    are not plain.
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
    # A height of 0 means that the height follows the first scan. Neither decoder supports that.
    if not 0 < width * height <= _MOST_PIXELS:
        raise _NotPlainError
    return width, height, _MODES[components]


def _check_tables(tables: bytes) -> None:
    """Raise `_NotPlainError` if a quantization table is incomplete (T.81, figure B.6)."""
    while tables:
        length = 65 if tables[0] < 16 else 129
        _at_least(length, tables)
        tables = tables[length:]


class _Metadata:
    """The relevant content of the application segments, read as Pillow's plug-in reads it."""

    def __init__(self) -> None:
        self.exif: bytes | None = None
        self.xmp: bytes | None = None
        self._has_resolution = False
        self._needs_pillow = False

    @property
    def is_plain(self) -> bool:
        """Whether Pillow reads these segments without an error or a warning."""
        # Without a resolution from JFIF, Pillow looks for one in the EXIF data, and may warn about
        # it.
        return not self._needs_pillow and (self.exif is None or self._has_resolution)

    def add(self, marker: int, content: bytes) -> None:
        """Add one segment. Raises `_NotPlainError` if it is shorter than its kind requires."""
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
    """Return `found` with the image that Pillow opens, and give Pillow's warnings.

    None if Pillow cannot open the file.
    """
    try:
        image = JpegImagePlugin.jpeg_factory(io.BytesIO(data))
    except Exception:
        # Pillow raises this error again when it opens the file to decode it.
        return None
    return found._replace(opened=image)
