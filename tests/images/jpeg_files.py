"""JPEG files of every kind, intact and damaged, and the results that decoders get from them."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, ImageCms

from raybatch.image import jpeg, jpeg_header

Pixels = npt.NDArray[np.uint8]

# simplejpeg's names for chroma subsamplings. Pillow cannot save "440" and "411".
SUBSAMPLINGS = ("444", "422", "440", "420", "411")

# The second bytes of markers. 0xFF and 0x00 are included, though they make no marker.
_MARKERS = bytes.fromhex("c0c1c2c3c4c9cad0d8d9dadbdcdddee0e1e2edeefeff0001")


def picture(width: int, height: int, seed: int = 0) -> Pixels:
    """Return a uint8 array (height, width, 3): a coarse pattern with edges, and noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 226, (height // 5 + 1, width // 7 + 1, 3))
    fine = rng.integers(0, 30, (height, width, 3))
    return (coarse.repeat(5, 0).repeat(7, 1)[:height, :width] + fine).astype(np.uint8)


def subsampled(pixels: Pixels, subsampling: str, quality: int = 85) -> bytes:
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality, "RGB", colorsubsampling=subsampling
    )
    return data


def saved(image: Image.Image | Pixels, format: str = "JPEG", **options: Any) -> bytes:  # noqa: A002
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    """Return `data` with an extra segment before all others."""
    return data[:2] + segment(marker, content) + data[2:]


def without_segment(data: bytes, marker: int) -> bytes:
    """Return `data` without its first segment of the kind `marker`."""
    start = data.index(bytes((0xFF, marker)))
    (length,) = struct.unpack_from(">H", data, start + 2)
    return data[:start] + data[start + 2 + length :]


def exif(orientation: int = 6, *, has_resolution: bool = False) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    tags[ExifTags.Base.Make] = "maker"
    if has_resolution:
        tags[ExifTags.Base.XResolution] = tags[ExifTags.Base.YResolution] = 72.0
        tags[ExifTags.Base.ResolutionUnit] = 2
    return tags.tobytes()


def photoshop() -> bytes:
    """Return the content of an APP13 segment with one Photoshop resource, the resolution."""
    resolution = struct.pack(">IHHIHH", 72 << 16, 1, 1, 72 << 16, 1, 1)
    return b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0" + struct.pack(">I", 16) + resolution


def kinds() -> dict[str, bytes]:
    """Return small JPEG files of many kinds, by name. simplejpeg can decode only some of them."""
    pixels = picture(45, 35)
    image = Image.fromarray(pixels)
    plain = saved(pixels)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    progressive = saved(pixels, progressive=True)
    tail = plain.index(b"\xff\xda")
    files = {f"subsampling {name}": subsampled(pixels, name) for name in SUBSAMPLINGS}
    return files | {
        "plain": plain,
        "grey": saved(image.convert("L")),
        "progressive": progressive,
        "progressive grey": saved(image.convert("L"), progressive=True),
        "progressive 4:4:4": saved(pixels, progressive=True, subsampling="4:4:4"),
        "one scan": progressive[: second_scan(progressive)] + b"\xff\xd9",
        "restart markers": saved(pixels, restart_marker_blocks=1),
        "restart rows": saved(pixels, restart_marker_rows=1, subsampling="4:4:4"),
        "resolution": saved(pixels, dpi=(72, 72)),
        "stored as RGB": saved(pixels, keep_rgb=True),
        "RGB by names": without_segment(saved(pixels, keep_rgb=True), 0xEE),
        "no JFIF": without_segment(plain, 0xE0),
        "Adobe, YCbCr": with_segment(
            without_segment(plain, 0xE0), 0xEE, b"Adobe\0\x64\0\0\0\0\x01"
        ),
        "Adobe, unknown": with_segment(plain, 0xEE, b"Adobe\0\x64\0\0\0\0\x07"),
        "JFIF of later version": plain.replace(b"JFIF\0\x01", b"JFIF\0\x02"),
        "comment": saved(pixels, comment=b"hello"),
        "EXIF": saved(pixels, exif=exif()),
        "EXIF and resolution": saved(pixels, exif=exif(), dpi=(300, 300)),
        "EXIF alone": without_segment(saved(pixels, exif=exif(has_resolution=True)), 0xE0),
        "EXIF in two": with_segment(
            with_segment(plain, 0xE1, b"Exif\0\0" + exif()[30:]), 0xE1, exif()[:30]
        ),
        "XMP": saved(pixels, xmp=b'<x tiff:Orientation="8"/>'),
        "ICC": saved(pixels, icc_profile=profile),
        "Photoshop": with_segment(plain, 0xED, photoshop()),
        "MPO": saved(image, "MPO", save_all=True, append_images=[image.rotate(9)]),
        "Ultra HDR": with_segment(
            saved(image, "MPO", save_all=True, append_images=[image.rotate(9)]),
            0xE1,
            b'http://ns.adobe.com/xap/1.0/\0 hdrgm:Version="1.0"',
        ),
        "trailing bytes": plain + b"\xff\xd8\xff and more",
        "two files": plain + progressive,
        "thumbnail": with_segment(plain, 0xE0, b"JFXX\0\x10" + saved(image.resize((8, 8)))),
        "CMYK": saved(image.convert("CMYK")),
        "no tables": plain[:2] + plain[tail:],
        "fill bytes": plain[:2] + b"\xff\xff" + plain[2:],
        "junk between": plain[:20] + b"junk" + plain[20:],
        "no marker": plain.replace(b"\xff\xdb", b"\0\xdb", 1),
        "two frames": with_segment(plain, 0xC0, frame(plain)),
        "two SOI": plain[:2] + plain,
        "12 bits": plain.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
        "no EOI": plain[:-2],
        "tiny": saved(picture(1, 1)),
    }


def frame(data: bytes) -> bytes:
    """Return the content of the baseline frame header of `data`."""
    start = data.index(b"\xff\xc0") + 4
    return data[start : start + 15]


def second_scan(data: bytes) -> int:
    return data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)


def mutations(files: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Iterate over `count` damaged files; each is one of `files` with 1, 2 or 4 random changes."""
    random = Random(seed)
    for _ in range(count):
        data = bytearray(random.choice(files))
        for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
            random.choice(_CHANGES)(data, random)
        yield bytes(data)


def _place(data: bytearray, random: Random) -> int:
    """Return a random position: in the headers with a probability of 1/2, otherwise anywhere."""
    end = data.find(b"\xff\xda") + 14
    return random.randrange(end if end > 13 and random.random() < 0.5 else max(1, len(data)))


def _flip(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 3))):
        place = _place(data, random)
        data[place : place + 1] = bytes([random.randrange(256)])


def _flip_a_bit(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    data[place : place + 1] = bytes(
        byte ^ 1 << random.randrange(8) for byte in data[place : place + 1]
    )


def _cut(data: bytearray, random: Random) -> None:
    del data[_place(data, random) :]


def _remove(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    del data[place : place + random.choice((1, 2, 7, 40, 300))]


def _insert(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    pieces = (
        b"\xff",
        b"\0",
        b"\xff\xd9",
        b"\xff\xd8",
        b"\xff\xd0",
        b"\xff\x01",
        random.randbytes(9),
    )
    data[place:place] = random.choice(pieces)


def _repeat(data: bytearray, random: Random) -> None:
    start, place = _place(data, random), _place(data, random)
    data[place:place] = data[start : start + random.choice((2, 20, 200))]


def _change_a_marker(data: bytearray, random: Random) -> None:
    places = [found.start() for found in re.finditer(rb"\xff[\xc0-\xfe]", data)]
    if places:
        data[random.choice(places) + 1] = random.choice(_MARKERS)


def _change_a_length(data: bytearray, random: Random) -> None:
    places = [found.start() for found in re.finditer(rb"\xff[\xc0-\xfe]", data)]
    if places:
        place = random.choice(places) + 2
        data[place : place + 2] = random.choice((0, 1, 2, 3, 8, 14, 255, 65535)).to_bytes(2, "big")


def _insert_a_segment(data: bytearray, random: Random) -> None:
    marker, content = random.choice(
        (
            (0xE0, b"JFIF\0\x01\x01\x01\0\x48\0\x48\0\0"),
            (0xE1, exif()),
            (0xE2, b"ICC_PROFILE\0\x01\x01"),
            (0xE2, b"MPF\0II*\0\x08\0\0\0"),
            (0xED, photoshop()),
            (0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([random.randrange(3)])),
            (0xDD, b"\0\x02"),
            (0xFE, b"comment"),
        )
    )
    length = random.choice((len(content), len(content), random.randrange(len(content) + 1)))
    data[2:2] = segment(marker, content[:length])


def _change_a_frame(data: bytearray, random: Random) -> None:
    """Change the name, sampling factors or table of a component; the file may stay decodable."""
    found = re.search(rb"\xff[\xc0-\xc2]\0[\x0b\x11]", data)
    if found:
        place = found.end() + 6 + random.randrange(9)
        data[place : place + 1] = bytes(
            [
                random.choice(
                    (0x11, 0x12, 0x21, 0x22, 0x14, 0x41, 0x13, 0x31, 0, 1, 2, 3, 82, 71, 66)
                )
            ]
        )


def _change_a_scan(data: bytearray, random: Random) -> None:
    """Change a byte in the header of a scan: its components, tables, coefficients or bits."""
    places = [found.start() for found in re.finditer(rb"\xff\xda\0[\x08-\x0c]", data)]
    if places:
        place = random.choice(places) + 4 + random.randrange(10)
        data[place : place + 1] = bytes([random.choice((0, 1, 2, 3, 5, 0x11, 63, 64, 0x10, 0x21))])


def _change_coded_bits(data: bytearray, random: Random) -> None:
    """Change coded bytes of a scan without creating a marker; decoders often notice no error."""
    start = data.find(b"\xff\xda") + 14
    for _ in range(random.choice((1, 1, 4))):
        place = random.randrange(start, len(data)) if 14 <= start < len(data) else 0
        if place and data[place] != 0xFF and data[place - 1] != 0xFF:
            data[place] = random.randrange(255)


_CHANGES = (
    _change_a_frame,
    _change_a_scan,
    _change_coded_bits,
    _change_coded_bits,
    _flip,
    _flip,
    _flip_a_bit,
    _cut,
    _remove,
    _insert,
    _repeat,
    _change_a_marker,
    _change_a_length,
    _insert_a_segment,
)


def by_pillow(data: bytes, scale: int = 1) -> tuple[Any, ...]:
    """Return the mode, size, orientation and RGB pixels that Pillow decodes from `data`.

    If Pillow raises an error, return its type and its text instead.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation)
            # Pillow never shrinks a side below one pixel.
            if scale <= min(image.size):
                image.draft(None, (image.width // scale, image.height // scale))
            image.load()
            return image.mode, image.size, orientation, image.convert("RGB").tobytes()
    except Exception as error:
        return type(error), re.sub(r" at 0x\w+", "", str(error))


def by_both(data: bytes, scale: int = 1) -> tuple[Any, ...]:
    """Check that `by_simplejpeg` and `by_parts` agree, and return their result."""
    one, other = by_simplejpeg(data, scale), by_parts(data, scale)
    assert one == other
    return one


def by_simplejpeg(data: bytes, scale: int = 1) -> tuple[Any, ...]:
    """Return a tuple like that of `by_pillow`, but use simplejpeg if it can decode `data`."""
    return _by(jpeg.decode, data, scale)


def by_parts(data: bytes, scale: int = 1) -> tuple[Any, ...]:
    """Return a tuple like that of `by_pillow`, but use the decoder of parts if possible.

    It decodes the whole image as one part.
    """
    return _by(_whole_part, data, scale)


def _whole_part(data: bytes, header: jpeg_header.JpegHeader, scale: int) -> Any:
    width, height = -(-header.width // scale), -(-header.height // scale)
    decoder = jpeg._part_decoder()
    if decoder is None:
        return jpeg.decode(data, header, scale)
    decoded = jpeg._decoded_part(decoder, data, header, scale, (0, 0, width, height))
    return None if decoded is None else decoded[0]


def _by(decode: Any, data: bytes, scale: int) -> tuple[Any, ...]:
    try:
        header = jpeg_header.header(data)
        if header is not None:
            orientation = header.getexif().get(ExifTags.Base.Orientation)
            pixels = decode(data, header, scale if scale <= min(header[:2]) else 1)
            if pixels is not None:
                height, width = pixels.shape[:2]
                colours = pixels[:, :, :3] if pixels.ndim == 3 else pixels[:, :, None].repeat(3, 2)
                return header.mode, (width, height), orientation, colours.tobytes()
    except Exception as error:
        return type(error), str(error)
    return by_pillow(data, scale)
