"""Pixels, errors and limits of JPEG files are the same with and without a second decoder."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raybatch.errors import ImageReadError
from raybatch.image import augment, decoding, jpeg
from raybatch.image.pixels import PixelLayout
from raybatch.image.reader import ImageReader
from tests.images.test_views import encoded, noise


def outcome(reader: ImageReader, data: bytes, seed: int) -> Any:
    """Return the pixels that `read_into` writes, or the text of its error."""
    layout = PixelLayout(channels_first=True, mean=0.4, std=0.3).bound(
        reader.dtype, reader.channels
    )
    assert reader.output_size is not None
    out = np.empty(layout.shape(*reader.output_size), layout.dtype)
    try:
        reader.read_into(io.BytesIO(data), layout, out, np.random.default_rng(seed))
    except ImageReadError as error:
        return str(error)
    return out


@pytest.mark.parametrize("decode", ["exact", "scaled"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("stored", ["RGB", "L"])
def test_the_second_decoder_changes_nothing(
    stored: str, mode: str, decode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jpeg.fault() is None, "the tests need the extra `fast`"
    crop = augment.RandomResizedCrop(20, scale=(0.3, 1))
    change = augment.Compose([augment.RandomHorizontalFlip(), crop, augment.ColorJitter(0.4)])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        noise(stored, 157, 91).save(file, "JPEG", exif=exif)
        whole = file.getvalue()
        for data in (whole, whole[:-200], whole[:300]):
            for transform in (change, crop):
                reader = ImageReader(
                    mode=mode, decode=decode, exif_orientation=True, transform=transform
                )
                got = outcome(reader, data, orientation)
                with monkeypatch.context() as patched:
                    patched.setattr(decoding, "is_usable", lambda: False)
                    wanted = outcome(reader, data, orientation)
                np.testing.assert_array_equal(got, wanted)


def test_both_decoders_keep_to_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(noise("RGB", 40, 30), "JPEG")
    assert "1200 pixels are more than max_pixels=1199" in outcome(
        ImageReader((9, 9), max_pixels=1199), data, 0
    )
    # Pillow's own limit applies only to images that the program opens with Pillow itself.
    wanted = outcome(ImageReader((9, 9)), data, 0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    np.testing.assert_array_equal(outcome(ImageReader((9, 9)), data, 0), wanted)
    assert "cannot identify" in outcome(ImageReader((9, 9), formats=("PNG",)), data, 0)
