"""Single images: pixels, the settings of the reader, float images and contact sheets."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.errors import ImageReadError, SampleReadError
from raybatch.image.contact_sheet import contact_sheet
from raybatch.image.float_images import ImageArrayUInt8ToFloat32
from raybatch.image.reader import ImageReader

INDICES = np.array([3, 0, -1, 3])


def expected(path: str, mode: str, size: tuple[int, int], resample: int = 2) -> Image.Image:
    with Image.open(path) as image:
        return image.convert(mode).resize(size[::-1], resample)


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, str]:
    """The paths of images of 23 × 17 pixels, by their modes."""
    noise = np.random.default_rng(0).integers(0, 256, (17, 23, 4), np.uint8)
    colours = Image.fromarray(noise)
    paths = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"):
        path = tmp_path / f"{mode}.{'tif' if mode in ('CMYK', 'F') else 'png'}"
        base = colours if mode == "RGBA" else colours.convert("RGB")
        (base.convert("L") if mode in ("LA", "I;16", "F") else base).convert(mode).save(path)
        paths[mode] = str(path)
    return paths


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "YCbCr", "HSV", "F"])
@pytest.mark.parametrize("size", [(8, 8), (40, 31), (17, 23)])
def test_pixels_are_those_of_pillow_for_every_mode(
    stored: dict[str, str], mode: str, size: tuple[int, int]
) -> None:
    paths = [path for stored_mode, path in stored.items() if stored_mode not in ("I;16", "F")]
    accessor = ImageFileAccessor(paths, size, mode=mode)
    wanted = np.stack([np.asarray(expected(path, mode, size)) for path in paths])
    np.testing.assert_array_equal(accessor[np.arange(len(paths))], wanted, strict=True)
    for position in range(len(paths)):
        np.testing.assert_array_equal(accessor[position], wanted[position], strict=True)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_pixels_of_more_than_8_bits_keep_them(stored: dict[str, str], mode: str) -> None:
    wanted = np.asarray(expected(stored[mode], mode, (8, 9)))
    stack = ImageFileAccessor([stored[mode]], (8, 9), mode=mode)[np.array([0, 0])]
    np.testing.assert_array_equal(stack, np.stack([wanted, wanted]), strict=True)


@pytest.mark.parametrize("resample", [*Image.Resampling, "nearest", "lanczos"])
def test_pixels_are_those_of_pillow_for_every_filter(photos: list[str], resample: Any) -> None:
    number = Image.Resampling[resample.upper()] if isinstance(resample, str) else resample
    accessor = ImageFileAccessor(photos, (32, 48), resample=resample)
    wanted = [np.asarray(expected(photos[i], "RGB", (32, 48), number)) for i in INDICES]
    np.testing.assert_array_equal(accessor[INDICES], wanted)


@pytest.mark.parametrize(("fit", "reference"), [("crop", ImageOps.fit), ("pad", ImageOps.pad)])
@pytest.mark.parametrize("size", [(32, 32), (20, 50), (150, 70)])
def test_crop_and_pad_are_those_of_image_ops(
    photos: list[str], fit: str, reference: Callable[..., Image.Image], size: tuple[int, int]
) -> None:
    accessor = ImageFileAccessor(photos, size, fit=fit, resample="lanczos")
    for position in range(4):
        with Image.open(photos[position]) as image:
            wanted = np.asarray(reference(image, size[::-1], Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(accessor[position], wanted)
        np.testing.assert_array_equal(accessor[np.array([position])][0], wanted)


def test_without_a_mode_images_keep_what_is_stored(stored: dict[str, str]) -> None:
    accessor = NonUniformImageFileAccessor(stored.values(), mode=None)
    images = accessor[np.arange(len(stored))]
    assert isinstance(images, list)
    assert [image.mode for image in images] == list(stored)
    with pytest.raises(TypeError, match="mode"):
        ImageFileAccessor(stored.values(), mode=None)


def test_an_image_of_the_right_mode_is_not_converted(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("converted")

    accessor = ImageFileAccessor(photos, (8, 8))
    wanted = accessor[INDICES]
    monkeypatch.setattr(Image.Image, "convert", fail)
    np.testing.assert_array_equal(accessor[INDICES], wanted)
    with pytest.raises(SampleReadError, match="converted"):
        ImageFileAccessor(photos, (8, 8), mode="L")[0]


def test_an_image_whose_mode_shows_only_when_loaded_is_converted(tmp_path: Path) -> None:
    """Pillow reports RGBA for an ICNS file until it is loaded; the icon in this one is RGB."""
    path = str(tmp_path / "icon.icns")
    Image.radial_gradient("L").convert("RGB").save(path)
    wanted = np.asarray(expected(path, "RGBA", (8, 8)))
    accessor = ImageFileAccessor([path], (8, 8), mode="RGBA", formats=["ICNS"])
    np.testing.assert_array_equal(accessor[0], wanted)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 64.0}, TypeError, "an integer or .height, width., not 64.0"),
        ({"size": (64,)}, TypeError, "an integer or"),
        ({"size": (64, 64, 3)}, TypeError, "an integer or"),
        ({"size": (64.0, 64)}, TypeError, "an integer or"),
        ({"size": "64"}, TypeError, "an integer or"),
        ({"size": (0, 64)}, ValueError, "1 or more"),
        ({"size": (64, -1)}, ValueError, "1 or more"),
        ({"mode": "rgb"}, ValueError, "mode must be one of"),
        ({"mode": 3}, ValueError, "mode must be one of"),
        ({"fit": "cover"}, ValueError, "fit must be one of 'stretch', 'crop', 'pad', not 'cover'"),
        ({"resample": "cubic"}, ValueError, "resample must be one of .*'bicubic'.* not 'cubic'"),
        ({"resample": 99}, ValueError, "99"),
        ({"resample": None}, ValueError, "resample must be one of"),
        ({"transform": [str]}, TypeError, r"write Compose\(\[\.\.\.\]\)"),
        ({"transform": lambda image: image}, TypeError, r"called with \(image, rng=generator\)"),
        ({"decode": "loose"}, ValueError, "decode must be one of 'exact'"),
    ],
)
def test_wrong_settings_are_refused_when_the_reader_is_made(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ImageReader(**arguments)
    with pytest.raises(error, match=message):
        ImageFileAccessor([], **arguments)


def test_one_integer_is_the_size_of_a_square(photos: list[str]) -> None:
    assert ImageReader(6).size == (6, 6)  # type: ignore[arg-type]
    assert ImageFileAccessor(photos, 6)[0].shape == (6, 6, 3)


@pytest.mark.parametrize("size", [[6, 5], np.array([6, 5]), (np.int64(6), 5)])
def test_a_size_may_be_any_two_integers(photos: list[str], size: Any) -> None:
    reader = ImageReader(size)
    assert reader.size == (6, 5)
    assert reader == ImageReader((6, 5))
    with open(photos[0], "rb") as file:
        assert reader.read(file).size == (5, 6)


def test_a_filter_has_one_name_and_a_reader_cannot_be_changed() -> None:
    reader = ImageReader(resample=Image.Resampling.BICUBIC)
    assert reader.resample == "bicubic"
    assert reader == ImageReader(resample="bicubic")
    with pytest.raises(FrozenInstanceError):
        reader.mode = "L"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(reader)) == reader


@pytest.mark.parametrize(
    ("mode", "dtype", "channels"),
    [
        ("RGB", np.uint8, (3,)),
        ("L", np.uint8, ()),
        ("LA", np.uint8, (2,)),
        ("1", np.bool_, ()),
        ("I;16", np.uint16, ()),
        ("F", np.float32, ()),
    ],
)
def test_the_mode_says_dtype_and_channels(
    mode: str, dtype: type[np.generic], channels: tuple[int, ...]
) -> None:
    reader = ImageReader(mode=mode)
    assert reader.dtype == dtype
    assert reader.channels == channels


def test_without_a_mode_dtype_and_channels_are_unknown() -> None:
    for name in ("dtype", "channels"):
        with pytest.raises(ValueError, match="only known if mode= is given"):
            getattr(ImageReader(mode=None), name)


def test_what_pillow_raises_is_the_cause() -> None:
    with pytest.raises(ImageReadError, match="UnidentifiedImageError") as caught:
        ImageReader().read(io.BytesIO(b"no image"))
    assert type(caught.value.__cause__) is UnidentifiedImageError
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason


def test_float_images_span_the_given_range() -> None:
    images = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    array = ImageArrayUInt8ToFloat32(images, val_lower=-1.0, val_upper=1.0)
    assert len(array) == 2
    assert array.shape == (2, 2)
    assert array.dtype is np.float32
    for index in (0, slice(None), np.array([1, 0]), (1, 1)):
        assert array[index].dtype == np.float32
        np.testing.assert_allclose(array[index], images[index] / 127.5 - 1, atol=1e-6)
    assert ImageArrayUInt8ToFloat32(images)[1, 1] == 1.0


def test_float_images_are_read_from_an_accessor(photos: list[str]) -> None:
    accessor = ImageFileAccessor(photos, (6, 5))
    array = ImageArrayUInt8ToFloat32(accessor)
    batch = array[np.array([4, 2])]
    assert batch.shape == (2, 6, 5, 3)
    assert len(array) == len(photos)
    np.testing.assert_allclose(batch * 255, accessor[np.array([4, 2])], atol=1e-3)
    with pytest.raises(AttributeError, match="no `shape`"):
        array.shape  # noqa: B018


def colours(count: int) -> Any:
    return np.stack([np.full((10, 20, 3), 20 + number, np.uint8) for number in range(count)])


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [(1, None, (1, 1)), (5, None, (2, 3)), (5, 5, (1, 5)), (3, 2, (2, 2))],
)
def test_a_contact_sheet_shows_every_image_once(
    count: int, columns: int | None, shape: tuple[int, int]
) -> None:
    sheet = contact_sheet(colours(count), range(count), columns)
    pixels = np.asarray(sheet)
    for number in range(count):
        rows, left = np.nonzero((pixels == 20 + number).all(axis=2))
        # The edges of the black labels are smoothed, so a few of their pixels may have this grey.
        assert len(rows) >= 200
        row, column = divmod(number, shape[1])
        assert np.median(rows) // (sheet.height / shape[0]) == row
        assert np.median(left) // (sheet.width / shape[1]) == column


def test_labels_are_written_below_the_images() -> None:
    blank, written = (np.asarray(contact_sheet(colours(1), [label])) for label in ("", "dog"))
    changed = np.nonzero((blank != written).any(axis=2))[0]
    assert len(changed)
    assert changed.min() >= 16


def test_images_and_labels_must_be_as_many() -> None:
    with pytest.raises(ValueError):
        contact_sheet(colours(2), ["one"])


def test_a_contact_sheet_of_no_images_is_an_empty_sheet() -> None:
    assert contact_sheet(np.zeros((0, 10, 20, 3), np.uint8), []).mode == "RGB"
