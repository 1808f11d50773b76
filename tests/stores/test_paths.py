"""Lists of paths, and folders of images."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raybatch.accessors.image_files import ImageFileAccessor
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import find_images, image_folder
from raybatch.stores.location import Locations
from raybatch.stores.paths import as_path_array

NAMES = ["/a/b.jpg", "/ü é.png", "/\udcff\udcfe.jpg"]  # the last path is not valid UTF-8


@pytest.mark.parametrize(
    "paths",
    [
        NAMES,
        tuple(NAMES),
        iter(NAMES),
        [Path(name) for name in NAMES],
        [os.fsencode(name) for name in NAMES],
        np.array(NAMES),
    ],
    ids=["list", "tuple", "iterator", "PathLike", "bytes", "numpy"],
)
def test_paths_come_back_as_they_were_but_absolute(paths: Any) -> None:
    table = Locations(paths)
    assert [table[position] for position in range(len(table))] == NAMES
    copy = pickle.loads(pickle.dumps(table))
    assert [copy[position] for position in range(3)] == NAMES


def test_a_relative_path_starts_at_the_folder_where_the_accessor_was_made(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name = os.path.split(photos[0])
    monkeypatch.chdir(folder)
    pickled = pickle.dumps(ImageFileAccessor([name], (8, 8)))
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(pickled)[0], ImageFileAccessor(photos, (8, 8))[0])


def test_a_file_whose_name_is_not_valid_utf_8_is_read(photos: list[str], tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.jpg")
    with open(path, "wb") as file:
        file.write(Path(photos[0]).read_bytes())
    (found,) = find_images(tmp_path)
    accessor = ImageFileAccessor([photos[0], found], (8, 8))
    np.testing.assert_array_equal(accessor[1], accessor[0])


ARROW: dict[str, Any] = {
    "string": pa.array(["/a", "/b", "/c"]),
    "large_string": pa.array(["/a", "/b", "/c"], pa.large_string()),
    "slice": pa.array(["/z", "/a", "/b", "/c"])[1:],
    "chunked": pa.chunked_array([["/a"], [], ["/b", "/c"]]),
    "dictionary": pa.array(["/a", "/b", "/c"]).dictionary_encode(),
    "chunked dictionary": pa.chunked_array([["/a", "/b"], ["/c"]]).dictionary_encode(),
    "binary": pa.array([b"/a", b"/b", b"/c"]),
}


@pytest.mark.parametrize("array", ARROW.values(), ids=ARROW.keys())
def test_arrow_arrays_of_strings_are_paths(array: Any) -> None:
    accessor = ImageFileAccessor(array)
    table = Locations(array)
    assert [table[position] for position in range(len(accessor))] == ["/a", "/b", "/c"]
    assert isinstance(accessor.paths, pa.Array)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None]),
        pa.array(["a", None], pa.large_string()),
        pa.chunked_array([["a"], [None, "b"]]),
        pa.array(["a", None]).dictionary_encode(),
    ],
)
def test_a_null_among_the_paths_is_named(array: Any) -> None:
    with pytest.raises(ValueError, match=r"paths\[1\] is null"):
        ImageFileAccessor(array)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("one.jpg", "a single path"),
        (ImageList(pa.array(["a"]), [0], ["x"]), r"not the ImageList: give its \.paths"),
        (b"one.jpg", "a single path"),
        (["a", 5], r"paths\[1\] must be a str or PathLike, not <class 'int'>"),
        (["a", None], r"paths\[1\]"),
        (pa.array([1, 2]), "not of int64"),
        (pa.array([1, 2]).dictionary_encode(), "int64"),
    ],
)
def test_what_is_no_list_of_paths_is_a_type_error(paths: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ImageFileAccessor(paths)


def test_the_text_of_paths_travels_out_of_band() -> None:
    table = Locations([f"/some/long/folder/image_{number:06}.jpg" for number in range(5000)])
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(table, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 1000
    assert sum(buffer.raw().nbytes for buffer in buffers) > 150_000
    assert pickle.loads(pickled, buffers=buffers)[4321] == table[4321]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = ("dog/a.JPG", "cat/deep/b.png", "cat/c.jpeg", "cat/readme.txt", "empty/none.csv")
    for name in names:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "root"


@pytest.mark.parametrize("as_root", [str, Path])
def test_a_folder_for_each_class_gives_paths_labels_and_names(
    tree: Path, as_root: Callable[[Path], Any]
) -> None:
    paths, labels, classes = image_folder(as_root(tree))
    wanted = [str(tree / name) for name in ("cat/c.jpeg", "cat/deep/b.png", "dog/a.JPG")]
    assert (paths, classes) == (wanted, ["cat", "dog", "empty"])
    assert find_images(tree) == wanted
    np.testing.assert_array_equal(labels, np.array([0, 0, 1]), strict=True)


def test_a_folder_without_classes_or_images_is_an_error(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        find_images(tree / "nowhere")
    with pytest.raises(FileNotFoundError, match="empty"):
        find_images(tree / "empty")
    (tree / "loose.png").touch()
    with pytest.raises(ValueError, match=r"loose\.png' lies in no class folder"):
        image_folder(tree)


def test_linked_folders_are_followed_and_each_folder_is_read_once(
    photos: list[str], tmp_path: Path
) -> None:
    (tmp_path / "dogs").symlink_to(Path(photos[0]).parent)
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(find_images(tmp_path)) == len(photos)


def test_a_slice_of_paths_does_not_take_the_others_along() -> None:
    paths = pa.array([f"/data/train/{number:09}.jpg" for number in range(100_000)])
    assert len(pickle.dumps(ImageFileAccessor(paths[500:501]))) < 2000


def test_arrow_scalars_are_paths_as_a_list_of_an_arrow_array_has_them() -> None:
    array = pa.array(["a.jpg", "b.jpg"])
    assert as_path_array([*array, "c.jpg"]).to_pylist() == ["a.jpg", "b.jpg", "c.jpg"]
