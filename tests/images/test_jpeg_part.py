"""Decoding of a part of a JPEG, with the pixels of the whole image and all of Pillow's errors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment, decoding, jpeg, jpeg_header, kernel, resampling
from raybatch.image.pixels import PixelLayout
from raybatch.image.reader import ImageReader
from raybatch.image.view import Rectangle
from tests.images.test_second_decoder import outcome

pytestmark = pytest.mark.skipif(kernel.fault() is not None, reason=f"no kernel: {kernel.fault()}")


def photograph(rng: np.random.Generator, mode: str, least: int = 1) -> bytes:
    width, height = map(int, rng.integers(least, 260, 2))
    detail = int(rng.choice([1, 5]))
    noise = rng.integers(0, 256, (height // detail + 1, width // detail + 1, 3), np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    options: dict[str, Any] = {
        "quality": int(rng.integers(1, 101)),
        "progressive": bool(rng.integers(4) == 0),
        "subsampling": int(rng.integers(3)),
        "optimize": bool(rng.integers(2)),
    }
    if rng.integers(3) == 0:
        options["restart_marker_blocks"] = int(rng.integers(1, 9))
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def some_part(rng: np.random.Generator, width: int, height: int) -> Rectangle:
    left, right = sorted(map(int, rng.choice(width + 1, 2, replace=width < 1)))
    top, bottom = sorted(map(int, rng.choice(height + 1, 2, replace=height < 1)))
    return left, top, right, bottom


def test_pillows_own_library_decodes_parts() -> None:
    assert jpeg._part_decoder() is not None


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("scale", jpeg.SCALES)
def test_any_part_of_any_file(mode: str, scale: int) -> None:
    rng = np.random.default_rng(scale)
    for _ in range(80):
        data = photograph(rng, mode, scale)
        found = jpeg_header.header(data)
        assert found is not None
        wanted = jpeg._by_pillow(data, found, scale)
        for _ in range(3):
            left, top, right, bottom = part = some_part(rng, wanted.shape[1], wanted.shape[0])
            decoded = jpeg.decode_part(data, found, scale, part)
            assert decoded is not None
            pixels, x, y = decoded
            got = jpeg._shown(pixels)[top - y : bottom - y, left - x : right - x]
            np.testing.assert_array_equal(got, wanted[top:bottom, left:right])


@pytest.mark.parametrize("decode", ["exact", "scaled"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_is_made_of_parts_is_what_is_made_of_the_whole(
    mode: str, decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        augment.RandomResizedCrop(24),
        augment.RandomResizedCrop((40, 16), interpolation="lanczos"),
        augment.Compose([augment.Resize(40), augment.CenterCrop(24), augment.ColorJitter(0.5)]),
        augment.RandomCrop((30, 20), padding=20),
        augment.Compose(
            [augment.CenterCrop(20), augment.RandomHorizontalFlip(), augment.Resize(9)]
        ),
    ]
    rng = np.random.default_rng(1)
    for number in range(60):
        data = photograph(rng, mode)
        change = changes[number % len(changes)]
        reader = ImageReader(mode=mode, decode=decode, transform=change)
        if reader.output_size is None:
            reader = ImageReader((50, 60), mode=mode, decode=decode, transform=change)
        for seed in range(4):
            got = outcome(reader, data, seed)
            with monkeypatch.context() as patched:
                patched.setattr(decoding, "is_usable", lambda: False)
                wanted = outcome(reader, data, seed)
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_that_the_kernel_cannot_write(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # For example, Pillow keeps more than 16 MB in several blocks, which the kernel cannot write.
    crop = augment.RandomCrop((40, 30), padding=20, fill=9)
    reader = ImageReader(mode=mode, transform=augment.Compose([crop, augment.ColorJitter(0.5)]))
    rng = np.random.default_rng(3)
    for seed in range(20):
        data = photograph(rng, mode)
        wanted = outcome(reader, data, seed)
        with monkeypatch.context() as patched:
            patched.setattr(resampling, "_canvas_of", lambda image: None)
            np.testing.assert_array_equal(outcome(reader, data, seed), wanted)


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 3}], ids=str)
def test_damage_outside_of_the_part_is_damage(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (200, 200, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", **options)
    data = file.getvalue()
    # This change needs the whole image; the crop in the loop below needs only a small part.
    change = augment.Compose([augment.CenterCrop((200, 200)), augment.Resize((100, 100))])
    half, end = data[: len(data) // 2], b"\xff\xd9"
    damaged = [half, half + end, data[:-2], data[:-2] + b"more" + end]
    # The last unit of blocks is incomplete, or several units are missing.
    damaged += [data[:-cut] + end for cut in (5, 40, 300, 1000, 2000)]
    for _ in range(100):
        changed = bytearray(data)
        changed[int(rng.integers(600, len(data)))] = int(rng.integers(256))
        damaged.append(bytes(changed))
    for each in damaged:
        for transform in (change, augment.RandomResizedCrop(16, scale=(0.01, 0.1))):
            reader = ImageReader(transform=transform)
            got = outcome(reader, each, len(each))
            with monkeypatch.context() as patched:
                patched.setattr(decoding, "is_usable", lambda: False)
                wanted = outcome(reader, each, len(each))
            np.testing.assert_array_equal(got, wanted)


def test_simplejpeg_decodes_all_where_parts_cannot_be_had(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change = augment.RandomResizedCrop(24)
    images = rb.ImageFileAccessor(photos, transform=change, layout=PixelLayout(mean=0.5, std=0.2))
    wanted = images[np.arange(len(photos))]
    monkeypatch.setattr(jpeg, "_part_decoder", lambda: None)
    assert jpeg.is_usable()
    np.testing.assert_array_equal(images[np.arange(len(photos))], wanted)


def test_another_library_of_jpeg_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from raybatch.image import jpeg_part

    look: Any = jpeg._part_decoder.__wrapped__
    assert look() is not None
    with monkeypatch.context() as patched:
        patched.setattr(jpeg_part, "_STRUCT_BYTES", 656)
        assert look() is None
    with monkeypatch.context() as patched:
        patched.setattr(jpeg, "_EDGE", 0)
        assert look() is None, "its parts have other edges"
