"""`rb.ImageFolder`: batches of (image, label) from a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment
from tests.stores.test_classes import make, told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of four images of 4 × 4 pixels in the classes a and c; class b has no images."""
    return make(tmp_path / "train", ["a/1.png", "a/2.png", "b/", "c/1.png", "c/x/2.png"])


def test_samples_are_an_image_and_its_label(folder: Path) -> None:
    data = rb.ImageFolder(folder, size=8)
    assert (len(data), data.classes) == (4, ["a", "b", "c"])
    assert data.class_to_idx == {"a": 0, "b": 1, "c": 2}
    assert (data.targets.tolist(), str(data.targets.dtype)) == ([0, 0, 2, 2], "int64")
    image, label = data[3]
    assert (image.shape, image.dtype, label) == ((8, 8, 3), np.uint8, 2)
    images, labels = next(iter(rb.Loader(data, 3)))
    assert (images.shape, labels.tolist()) == ((3, 8, 8, 3), [0, 0, 2])
    listed = rb.image_folder(folder)
    same = rb.ArrayDataSource([rb.ImageFileAccessor(listed.paths, (8, 8)), listed.labels])
    assert rb.stream_digest(rb.Loader(data, 3)) == rb.stream_digest(rb.Loader(same, 3))


def test_without_a_size_images_are_as_stored(folder: Path) -> None:
    Image.new("L", (7, 5)).save(folder / "a" / "1.png")
    image, _ = rb.ImageFolder(folder, mode=None)[0]
    assert (image.size, image.mode) == ((7, 5), "L")


def test_patterns_and_urls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for pattern in ("*/1.png", f"{folder}/*/1.png", f"file://{folder}/*/1.png"):
        data = rb.ImageFolder(pattern, size=4)
        assert (len(data), data.classes, data.targets.tolist()) == (2, ["a", "c"], [0, 1])
    assert rb.ImageFolder(f"file://{folder}", size=4).classes == ["a", "b", "c"]


def test_a_folder_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    root = make(tmp_path / "run[1]", ["a/1.png"])
    assert rb.ImageFolder(root, size=4).classes == ["a"]


def test_classes_are_those_of_another_split(folder: Path, tmp_path: Path) -> None:
    split = make(tmp_path / "validation", ["c/1.png"])
    classes = rb.ImageFolder(folder, size=4).classes
    assert rb.ImageFolder(split, size=4, classes=classes)[0][1] == 2
    with pytest.raises(ValueError, match="images of 'c', which `classes` does not have"):
        rb.ImageFolder(split, classes=["a"])


def test_names_of_files_are_the_classes_where_there_are_no_folders(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path, ["dog_1.png", "cat_1.png", "cat2.png", "7.png"])
    data = rb.ImageFolder(root, size=4)
    assert (data.classes, data.targets.tolist()) == (["cat", "dog", "image"], [2, 0, 0, 1])
    (line,) = told(caplog)
    assert "the first letters of the file names are the classes: 3, 'cat', 'dog', 'image'" in line


def test_an_image_beside_class_folders_is_refused(folder: Path) -> None:
    make(folder, ["loose.png"])
    with pytest.raises(ValueError, match=r"loose\.png' lies beside the class folders"):
        rb.ImageFolder(folder)


def test_size_and_transform(folder: Path) -> None:
    crop = augment.RandomResizedCrop(8)
    both, alone = (rb.ImageFolder(folder, size, transform=crop) for size in (8, None))
    assert np.array_equal(both[0][0], alone[0][0])
    flip = rb.ImageFolder(folder, (6, 5), transform=augment.RandomHorizontalFlip())
    assert flip[0][0].shape == (6, 5, 3)
    with pytest.raises(ValueError, match=r"transform makes images of 8x8 .* size is 9x9"):
        rb.ImageFolder(folder, 9, transform=crop)


def test_the_settings_of_a_source_and_of_reading(folder: Path) -> None:
    layout = rb.PixelLayout(channels_first=True)
    data = rb.ImageFolder(folder, 4, indices=[3, 0], include_indices=True, layout=layout)
    index, image, label = data[0]
    assert (index, image.shape, label) == (3, (3, 4, 4), 2)
    with pytest.raises(TypeError, match="nosuch"):
        rb.ImageFolder(folder, 4, nosuch=1)


READERS = pytest.mark.parametrize("listed", [rb.ImageFolder, rb.image_folder])


@READERS
@pytest.mark.parametrize("names", [["train", "val"], ["Train2017"], ["train", "test", "extra"]])
def test_a_folder_above_the_classes_is_refused(
    tmp_path: Path, listed: Any, names: list[str]
) -> None:
    root = make(tmp_path, [f"{part}/{kind}/1.png" for part in names for kind in ("cat", "dog")])
    with pytest.raises(ValueError, match=f"named as parts of a data set.* pass '{root}/[tT]") as e:
        listed(root)
    assert all(repr(name) in str(e.value) for name in names)
    assert listed(root, classes=names).classes == names
    assert listed(root / names[0]).classes == ["cat", "dog"]


@READERS
def test_parts_of_a_data_set_without_classes_are_refused(tmp_path: Path, listed: Any) -> None:
    root = make(tmp_path, ["train/1.png", "val/1.png"])
    with pytest.raises(ValueError, match=r"there are no class folders in .*train' either"):
        listed(root)


@READERS
def test_a_folder_above_an_archive_is_refused(tmp_path: Path, listed: Any) -> None:
    make(tmp_path / "here", ["train/cat/1.png", "val/cat/1.png"])
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "here")
    with pytest.raises(ValueError, match=f"pass 'zip://train::{archive}'"):
        listed(f"zip://::{archive}")
    assert listed(f"zip://train::{archive}").classes == ["cat"]


@READERS
@pytest.mark.parametrize(
    ("names", "is_told"),
    [
        (["pets/cat/1.png", "pets/dog/1.png"], True),
        (["car/red/1.png", "train/red/1.png"], True),
        (["car/1.png", "train/2.png"], False),
        (["pets/cat/1.png", "pets/1.png"], False),
    ],
)
def test_images_that_all_lie_deeper_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listed: Any, names: list[str], is_told: bool
) -> None:
    listed(make(tmp_path, names))
    assert [line for line in told(caplog) if "images lie deeper" in line] == told(caplog)
    assert len(told(caplog)) == is_told


def test_a_flat_folder_without_classes_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path, ["IMG_1.png", "IMG_2.png"])
    with pytest.raises(ValueError, match=r"'IMG_1.png', have no classes either"):
        rb.ImageFolder(root)
    assert rb.ImageFolder(root, classes=["IMG", "PXL"]).targets.tolist() == [0, 0]
