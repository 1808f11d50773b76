"""JPEG decoders other than Pillow: they match its pixels and errors, or leave the file to it."""

from __future__ import annotations

import io
import itertools
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError

from raybatch.image import jpeg, jpeg_header
from tests.images.jpeg_files import (
    SUBSAMPLINGS,
    by_both,
    by_parts,
    by_pillow,
    by_simplejpeg,
    exif,
    frame,
    kinds,
    mutations,
    picture,
    saved,
    subsampled,
    with_segment,
    without_segment,
)

KINDS = kinds()
# The kinds of files that are left to Pillow, which decodes or refuses them.
PILLOWS = {
    "CMYK",
    "no tables",
    "fill bytes",
    "junk between",
    "no marker",
    "two frames",
    "two SOI",
    "12 bits",
}
# The kinds of files that simplejpeg refuses to decode, since they are damaged or unusual.
REFUSED = {"JFIF of later version", "no EOI"}


@pytest.fixture
def another_look() -> Iterator[None]:
    """A simplejpeg that has not been compared with Pillow yet.

    It is compared again after the test. The decoder of parts is turned off.
    """
    jpeg.fault.cache_clear()
    jpeg._decoder.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jpeg, "_part_decoder", lambda: None)
        yield
    jpeg.fault.cache_clear()
    jpeg._decoder.cache_clear()


def decoded(data: bytes, scale: int = 1) -> Any:
    """Return the pixels that simplejpeg decodes; None if it must not or cannot decode `data`."""
    header = jpeg_header.header(data)
    return None if header is None else jpeg.decode(data, header, scale)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind(name: str) -> None:
    assert (jpeg_header.header(KINDS[name]) is None) == (name in PILLOWS)
    assert (decoded(KINDS[name]) is None) == (name in PILLOWS | REFUSED)
    for scale in jpeg.SCALES:
        assert by_both(KINDS[name], scale) == by_pillow(KINDS[name], scale)


@pytest.mark.parametrize("name", sorted(KINDS.keys() - PILLOWS))
def test_each_header(name: str) -> None:
    header = jpeg_header.header(KINDS[name])
    assert header is not None
    with Image.open(io.BytesIO(KINDS[name])) as image:
        assert header[:3] == (*image.size, image.mode)
        assert header[3:5] == (image.info.get("exif"), image.info.get("xmp"))
        assert dict(header.getexif()) == dict(image.getexif())


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_each_size(subsampling: str) -> None:
    pixels = picture(37, 37)
    sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 15, 16, 17, 31, 33, 37]
    for width, height in itertools.product(sizes, sizes):
        data = subsampled(pixels[:height, :width], subsampling)
        for scale in jpeg.SCALES:
            assert by_both(data, scale) == by_pillow(data, scale), (width, height, scale)
        # An image of one block is left to Pillow if it is scaled, since the scale is ambiguous.
        assert decoded(data) is not None
        assert (decoded(data, 4) is not None) == (max(width, height) > 8)


def test_each_quality() -> None:
    pixels = picture(50, 41)
    for quality in range(1, 101):
        for data in (saved(pixels, quality=quality), saved(pixels[..., 0], quality=quality)):
            assert decoded(data) is not None
            assert by_both(data) == by_pillow(data), quality


def test_shapes() -> None:
    colour, grey = KINDS["plain"], KINDS["grey"]
    assert jpeg_header.header(colour) == (45, 35, "RGB", None, None, None, False)
    assert jpeg_header.header(grey) == (45, 35, "L", None, None, None, False)
    for scale, (height, width) in zip(
        jpeg.SCALES, ((35, 45), (18, 23), (9, 12), (5, 6)), strict=True
    ):
        assert decoded(colour, scale).shape == (height, width, 4)
        assert decoded(grey, scale).shape == (height, width)
        assert decoded(grey, scale).flags.c_contiguous


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files(seed: int) -> None:
    count = {"by simplejpeg": 0, "by Pillow": 0}
    for place, data in enumerate(mutations(list(KINDS.values()), 2_500, seed)):
        scale = jpeg.SCALES[place % 4]
        wanted = by_pillow(data, scale)
        assert by_both(data, scale) == wanted, (seed, place)
        if (header := jpeg_header.header(data)) is not None:
            with Image.open(io.BytesIO(data)) as image:
                assert header[:3] == (*image.size, image.mode), (seed, place)
        if isinstance(wanted[0], str):
            count["by Pillow" if decoded(data, scale) is None else "by simplejpeg"] += 1
    assert min(count.values()) > 250


@pytest.mark.slow
def test_many_damaged_files() -> None:
    for place, data in enumerate(mutations(list(KINDS.values()), 100_000, seed=100)):
        scale = jpeg.SCALES[place % 4]
        assert by_both(data, scale) == by_pillow(data, scale), place


def test_damaged_files_that_the_program_wants_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = KINDS["plain"]
    cut = plain[: len(plain) * 3 // 4]
    assert isinstance(by_both(cut)[0], type)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert by_both(cut) == by_pillow(cut)
    assert by_both(cut)[0] == "RGB"


def test_a_warning_is_given_once() -> None:
    # Without a JFIF segment, Pillow looks for the resolution in the EXIF data, whose last tag is
    # truncated here.
    data = without_segment(saved(picture(20, 20), exif=exif()[:-4]), 0xE0)
    said = []
    for read in (by_pillow, by_simplejpeg, by_parts):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert read(data)[0] == "RGB"
        said.append([str(warning.message) for warning in caught])
    assert said[0] == said[1] == said[2]
    assert len(said[0]) == 1
    assert decoded_without_warning(data)


def decoded_without_warning(data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decoded(data) is not None


@pytest.mark.parametrize("has_resolution", [False, True])
def test_broken_exif(has_resolution: bool) -> None:
    options: Any = {"dpi": (72, 72)} if has_resolution else {}
    for length in range(6, len(exif())):
        data = saved(picture(20, 20), exif=exif()[:length], **options)
        assert by_both(data) == by_pillow(data), length


def test_segments_that_pillow_cannot_read() -> None:
    plain = KINDS["plain"]
    segments = {
        0xE0: b"JFIF\0\x01",
        0xE2: b"ICC_PROFILE\0",
        0xED: b"Photoshop 3.0\x008BIM\x03\xed",
        0xEE: b"Adobe\0",
    }
    for marker, content in segments.items():
        data = with_segment(plain, marker, content)
        assert isinstance(by_pillow(data)[0], type), content
        assert by_both(data) == by_pillow(data), content


def test_a_resolution_that_pillow_does_not_see() -> None:
    # The JFIF segments below are too short, so Pillow looks for the resolution in the EXIF data,
    # which are damaged.
    data = without_segment(saved(picture(20, 20), exif=exif()[:-4]), 0xE0)
    for length in range(4, 14):
        short = with_segment(data, 0xE0, b"JFIF\0\x01\x01\x01\0\x48\0\x48\0\0"[:length])
        assert jpeg_header.header(short) is None, length
        assert by_both(short) == by_pillow(short), length


def test_each_marker() -> None:
    # Tables, comments and application segments may come before the frame.
    can_be_there = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
    for marker in range(0xFF):
        data = with_segment(KINDS["plain"], marker, bytes(65))  # enough for one quantization table
        assert (jpeg_header.header(data) is not None) == (marker in can_be_there), marker
        assert by_both(data) == by_pillow(data), marker


def test_tables_and_frames_that_end_too_early() -> None:
    plain = KINDS["plain"]
    for precision, length in itertools.product(
        (0x00, 0x10), (1, 64, 65, 66, 128, 129, 130, 194, 258)
    ):
        data = with_segment(plain, 0xDB, bytes([precision]) + bytes(length - 1))
        assert (jpeg_header.header(data) is not None) == is_opened(data), (precision, length)
    for length in range(18):
        data = with_segment(
            without_segment(plain, 0xC0), 0xC0, (frame(plain) + b"\x03\x11\x01")[:length]
        )
        assert jpeg_header.header(data) is None or is_opened(data), length


def is_opened(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).close()
    except UnidentifiedImageError:
        return False
    return True


@pytest.mark.parametrize(
    ("height", "width", "has_header"),
    [
        (0, 9, False),
        (9, 0, False),
        (9, 9, True),
        (1 << 15, (1 << 14) - 1, True),
        (1 << 15, 1 << 14, False),
    ],
)
def test_sizes_that_a_header_may_claim(height: int, width: int, has_header: bool) -> None:
    plain = KINDS["plain"]
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    data = plain.replace(frame(plain)[1:5], size)
    assert data != plain
    assert (jpeg_header.header(data) is not None) == has_header


def test_what_is_no_jpeg() -> None:
    for data in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", saved(picture(9, 9), "PNG")):
        assert jpeg_header.header(data) is None


def test_a_plug_in_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    class Negative(JpegImagePlugin.JpegImageFile):
        pass

    monkeypatch.setitem(Image.OPEN, "JPEG", (Negative, None))
    assert jpeg_header.header(KINDS["plain"]) is None


def test_pixels_stay_until_the_next_image_of_the_thread() -> None:
    first = decoded(saved(picture(40, 40)))
    with ThreadPoolExecutor(1) as thread:
        before = first.copy()
        thread.submit(decoded, saved(picture(40, 40, seed=1))).result()
        np.testing.assert_array_equal(first, before)
    assert np.shares_memory(first, decoded(saved(picture(30, 30))))


def test_large_images_have_memory_of_their_own() -> None:
    # One row more than fits in the memory that a thread keeps.
    large = saved(np.zeros((2049, 2048, 3), np.uint8), quality=1)
    assert not np.shares_memory(decoded(large), decoded(large))


def test_rows_stay_in_the_caches() -> None:
    # libjpeg-turbo writes a row past the caches if it begins at a multiple of 16, as the rows of
    # NumPy arrays often do.
    for width in (40, 41, 2048):
        pixels = decoded(saved(np.zeros((2049, width, 3), np.uint8), quality=1))
        for row in pixels[:16]:
            assert row.ctypes.data % 16 != 0


def test_threads() -> None:
    files = [saved(picture(60 + place, 50, seed=place), quality=95) for place in range(16)]
    wanted = [by_pillow(data) for data in files]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(by_both, files * 20)) == wanted * 20


def test_others_run_while_an_image_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(np.resize(picture(256, 256), (2000, 1500, 3)), quality=95)
    memory = np.zeros(2000 * 1500 * 4, np.uint8)
    monkeypatch.setattr(jpeg, "_memory", lambda length: memory)
    deadline = time.monotonic() + 60
    is_seen_halfway = False
    # If the decoder held the GIL, this thread would see either no pixel of the image or all.
    while not is_seen_halfway and time.monotonic() < deadline:
        memory[:] = 0
        thread = threading.Thread(target=decoded, args=(data,))
        thread.start()
        while thread.is_alive() and not is_seen_halfway:
            is_seen_halfway = bool(memory[3]) and not memory[-1]
        thread.join()
    assert is_seen_halfway


class TestTheLook:
    """Checks of simplejpeg before its first use, with decoders that differ slightly from Pillow."""

    def differing(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
        def other(*arguments: Any, **given: Any) -> Any:
            return simplejpeg.decode_jpeg(*arguments, **{**given, **options})

        monkeypatch.setattr(jpeg, "_decoder", lambda: other)
        fault = jpeg.fault()
        assert fault is not None
        assert not jpeg.is_usable()
        return fault

    def test_the_installed_decoder(self, another_look: None) -> None:
        assert jpeg.fault() is None

    def test_another_transform(
        self, another_look: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        fault = self.differing(monkeypatch, fastdct=True)
        assert "grey" in fault
        assert "simplejpeg is not used" in caplog.text

    def test_another_upsampling(self, another_look: None, monkeypatch: pytest.MonkeyPatch) -> None:
        fault = self.differing(monkeypatch, fastupsample=True)
        assert "4:2:0" in fault
        assert "4:2:2" in fault
        assert "4:4:4" not in fault

    def test_another_scale(self, another_look: None, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "4:4:4" in self.differing(monkeypatch, min_factor=16)

    def test_another_guess_of_what_is_not_known_yet(
        self, another_look: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first_scan = dict(jpeg._samples())["first scan"]

        def other(data: bytes, *arguments: Any, **options: Any) -> Any:
            pixels = simplejpeg.decode_jpeg(data, *arguments, **options)
            return pixels // 8 * 8 if data == first_scan else pixels

        monkeypatch.setattr(jpeg, "_decoder", lambda: other)
        assert jpeg.fault() == "its pixels differ from Pillow's (first scan)"

    def test_a_decoder_that_fails(
        self, another_look: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "grey" in self.differing(monkeypatch, nothing=0)

    def test_no_decoder(self, another_look: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
        assert jpeg.fault() == "no simplejpeg"
        assert not jpeg.is_usable()
        assert jpeg.decode(KINDS["plain"], jpeg_header.JpegHeader(45, 35, "RGB")) is None
