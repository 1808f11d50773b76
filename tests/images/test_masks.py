"""Masks in files: reading their classes, and cropping them together with their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import raybatch as rb
from raybatch import notices
from raybatch.errors import SampleReadError
from raybatch.image import augment

CHANGE = augment.Compose(
    [
        augment.RandomResizedCrop((20, 24), interpolation="bicubic"),
        augment.ColorJitter(0.4, 0.4, 0.4, 0.1),
        augment.RandomHorizontalFlip(),
        augment.RandomCrop((20, 20), padding=3),
    ]
)
CLASSES = {*range(21), 255}


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_told", {})


class Folder(NamedTuple):
    """The paths of images, the paths of their masks, and the classes in each mask."""

    images: list[str]
    masks: list[str]
    classes: list[npt.NDArray[Any]]


def voc_palette() -> list[int]:
    """Return the palette of PASCAL VOC.

    Each group of three bits of a class number gives one bit to each of red, green and blue. The
    lowest group gives the highest bits.
    """
    return [
        sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8))
        for number in range(256)
        for channel in range(3)
    ]


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Images whose grey levels are the classes of their masks, and masks with VOC's palette."""
    folder = tmp_path_factory.mktemp("voc")
    rng = np.random.default_rng(0)
    images, masks, classes = [], [], []
    for number in range(12):
        height, width = (int(edge) for edge in rng.integers(30, 60, 2))
        blocks = rng.integers(0, 21, (-(-height // 5), -(-width // 5)), np.uint8)
        values = blocks.repeat(5, axis=0).repeat(5, axis=1)[:height, :width].copy()
        values[:2] = 255
        mask = Image.frombytes("P", (width, height), values.tobytes())
        mask.putpalette(voc_palette())
        masks.append(str(folder / f"{number:02}_mask.png"))
        mask.save(masks[-1])
        images.append(str(folder / f"{number:02}.png"))
        Image.fromarray(values).convert("RGB").save(images[-1])
        classes.append(values)
    return Folder(images, masks, classes)


def test_the_numbers_of_a_palette_are_the_classes(voc: Folder) -> None:
    masks: Any = rb.NonUniformImageFileAccessor(voc.masks, mask=True)
    for mask, wanted in zip(masks[np.arange(12)], voc.classes, strict=True):
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), wanted)


@pytest.mark.parametrize("decode", ["exact", "scaled"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_mask_of_another_size_has_classes_alone(voc: Folder, fit: str, decode: str) -> None:
    settings: dict[str, Any] = {"fit": fit, "decode": decode, "scale_margin": 1.0}
    small = rb.ImageFileAccessor(voc.masks, (9, 14), mask=True, **settings)[np.arange(12)]
    assert small.shape == (12, 9, 14)
    assert small.dtype == np.uint8
    for mask, stored in zip(small, voc.classes, strict=True):
        assert {*mask.flat} <= {*stored.flat, 255}
        assert len({*mask.flat}) > 5
        nearest = Image.fromarray(stored).resize((14, 9), Image.Resampling.NEAREST)
        if fit == "stretch":
            np.testing.assert_array_equal(mask, nearest)


def test_around_a_mask_is_its_fill(voc: Folder) -> None:
    cases: list[tuple[dict[str, Any], int]] = [({}, 255), ({"mask_fill": 0}, 0)]
    for settings, wanted in cases:
        masks = rb.ImageFileAccessor(voc.masks, (9, 90), mask=True, fit="pad", **settings)
        assert (masks[np.arange(12)][:, :, :5] == wanted).all()
        change = augment.RandomCrop((70, 70), padding=40)
        masks = rb.ImageFileAccessor(voc.masks, mask=True, transform=change, **settings)
        assert (masks[np.arange(12)] == wanted).mean() > 0.2


def pairs(images: Any, masks: Any, **settings: Any) -> Any:
    """Return the batches of two shuffled epochs."""
    with rb.Loader(rb.ArrayDataSource([images, masks]), 5, shuffle=7, **settings) as loader:
        return [batch for _ in range(2) for batch in loader]


def test_images_and_masks_of_one_source_are_cut_alike(voc: Folder) -> None:
    """The grey levels of each image are its classes.

    So an image stays equal to its mask if nothing changes its colours or mixes its pixels.
    """
    nearest = augment.Compose(
        [
            augment.RandomResizedCrop((20, 24), interpolation="nearest"),
            lambda image, rng: image,
            augment.RandomHorizontalFlip(),
            augment.RandomCrop((20, 20), padding=3, fill=255),
        ]
    )
    images = rb.ImageFileAccessor(voc.images, transform=nearest)
    coloured = rb.ImageFileAccessor(voc.images, transform=CHANGE)
    masks = rb.ImageFileAccessor(voc.masks, transform=CHANGE, mask=True)
    for (x, y), (other, _) in zip(pairs(images, masks), pairs(coloured, masks), strict=True):
        np.testing.assert_array_equal(x, y[..., None].repeat(3, axis=3))
        assert not np.array_equal(x, other)
        assert {*y.flat} <= CLASSES


def test_the_size_of_an_accessor_shifts_nothing(voc: Folder) -> None:
    """The random parts of a transform draw the same numbers, with or without a `size`."""
    flip = augment.Compose([augment.RandomHorizontalFlip(), augment.RandomVerticalFlip()])
    size = (30, 40)
    images = rb.ImageFileAccessor(voc.images, size, transform=flip, resample="nearest", mode="L")
    resized = augment.Compose([augment.Resize(size), *flip.transforms])
    masks = rb.ImageFileAccessor(voc.masks, transform=resized, mask=True)
    for x, y in pairs(images, masks):
        np.testing.assert_array_equal(x, y)


def test_masks_of_parquet_of_a_cache_and_packed(voc: Folder, tmp_path: Path) -> None:
    size, rows = (32, 40), np.arange(12)
    change = augment.Compose([augment.Resize(size), *CHANGE.transforms])
    masks = rb.ImageFileAccessor(voc.masks, transform=change, mask=True)
    wanted = masks[rows]
    rb.to_parquet(voc.masks, tmp_path / "masks.parquet")
    stored = rb.ParquetImageAccessor(tmp_path / "masks.parquet", transform=change, mask=True)
    np.testing.assert_array_equal(stored[rows], wanted)
    cached = rb.CachedAccessor(masks, tmp_path / "cache", 2**30)
    for _ in range(2):
        np.testing.assert_array_equal(cached[rows], wanted)
    whole = rb.ImageFileAccessor(voc.masks, size, mask=True)
    rb.pack(rb.ArrayDataSource([whole]), tmp_path / "packed")
    packed = rb.PackedAccessor(tmp_path / "packed", transform=augment.for_masks(CHANGE))
    np.testing.assert_array_equal(packed[rows], wanted)


def test_classes_of_other_modes(tmp_path: Path) -> None:
    values = np.arange(36, dtype=np.uint8).reshape(6, 6) % 2
    path = str(tmp_path / "x.png")
    for stored in (
        Image.fromarray(values),
        Image.fromarray(values > 0),
        Image.fromarray(values).convert("RGB"),
        Image.fromarray(values).convert("LA"),
        Image.fromarray(values.astype(np.uint16)),
    ):
        stored.save(path)
        made = rb.ImageFileAccessor([path], mask=True)[0]
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, values)
    many = np.arange(36, dtype=np.uint16).reshape(6, 6) * 999
    Image.fromarray(many).save(path)
    for mode, dtype in (("I;16", np.uint16), ("I", np.int32)):
        masks = rb.ImageFileAccessor(
            [path], (12, 20), mask=True, mode=mode, fit="pad", mask_fill=60000
        )
        assert masks[0].dtype == dtype
        assert {*masks[0].flat} == {*many.flat, 60000}
        turned = rb.ImageFileAccessor([path], mask=True, mode=mode, transform=augment.Letterbox(9))
        assert {*turned[0].flat} <= {*many.flat}


def test_what_is_no_mask_is_refused(voc: Folder, photos: list[str]) -> None:
    with pytest.raises(rb.errors.SampleReadError, match="mask=True needs an image of one channel"):
        rb.ImageFileAccessor(photos[:1], mask=True)[0]
    with pytest.raises(
        ValueError, match="mode of a mask must have one channel, such as L, not 'HSV'"
    ):
        rb.ImageFileAccessor(voc.masks, mask=True, mode="HSV")
    with pytest.raises(ValueError, match="give mask or background"):
        rb.ImageFileAccessor(voc.masks, mask=True, background="red")


def test_the_luminance_of_a_mask_is_told_once(
    voc: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    rb.NonUniformImageFileAccessor(voc.masks, mode="L")[np.arange(12)]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{voc.masks[0]!r} has a palette, and mode='L' gives the luminance" in line
    assert "read it with mask=True" in line


def test_no_luminance_is_told_where_it_is_the_number(
    voc: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "grey.png")
    grey = Image.frombytes("P", (16, 16), bytes(range(256)))
    grey.putpalette([level for level in range(256) for _ in range(3)])
    grey.save(path)
    np.testing.assert_array_equal(rb.ImageFileAccessor([path], mode="L")[0].ravel(), np.arange(256))
    rb.NonUniformImageFileAccessor(voc.masks)[np.arange(12)]
    rb.NonUniformImageFileAccessor(voc.masks, mask=True)[np.arange(12)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fill", "options", "error"),
    [
        (-1, {}, ValueError),
        (256, {}, ValueError),
        (65_536, {"mode": "I;16"}, ValueError),
        (1.5, {}, TypeError),
        ("x", {}, TypeError),
    ],
)
def test_a_fill_that_is_no_class_is_refused_where_it_is_given(
    fill: Any, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"mask_fill.*{fill}"):
        rb.ImageFileAccessor(["a.png"], (8, 8), mask=True, mask_fill=fill, **options)
    if not options:
        with pytest.raises(error, match=f"mask_fill.*{fill}"):
            augment.CenterCrop((9, 9))(
                np.zeros((8, 8, 3), np.uint8),
                mask=Image.new("L", (8, 8)),
                mask_fill=fill,
                rng=np.random.default_rng(0),
            )


def test_classes_above_255_ask_for_a_mode_that_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[7, 300]], np.uint16)).save(path)
    with pytest.raises(
        SampleReadError, match=r"classes from 7 to 300, .* give the accessor mode='I;16'"
    ):
        rb.ImageFileAccessor([path], mask=True)[0]
    assert rb.ImageFileAccessor([path], mask=True, mode="I;16")[0].tolist() == [[7, 300]]
    Image.fromarray(np.array([[7, 200]], np.uint16)).save(path)
    assert rb.ImageFileAccessor([path], mask=True)[0].tolist() == [[7, 200]]
