"""Accessors of image files, and array-likes from other libraries."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, UnidentifiedImageError

from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.reading import row_executor
from raybatch.batchup.data_source import ArrayDataSource
from raybatch.errors import ReturnError, SampleReadError
from raybatch.image.float_images import ImageArrayUInt8ToFloat32
from tests.stores.file_arrays import hdf5, memory_map, zarr_array

INDICES = np.array([3, 0, -1, 3])
BOTH = pytest.mark.parametrize("kind", [ImageFileAccessor, NonUniformImageFileAccessor])
Make = Callable[..., Any]


def expected(path: str, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))


@contextlib.contextmanager
def maybe_threads(threads: int) -> Iterator[None]:
    if threads == 0:
        yield
    else:
        with ThreadPoolExecutor(threads) as executor, row_executor(executor):
            yield


@BOTH
@pytest.mark.parametrize("as_int", [int, np.int64, np.uint8])
def test_an_int_gives_one_image(
    photos: list[str], kind: Make, as_int: Callable[[int], Any]
) -> None:
    accessor = kind(photos, (16, 24))
    for position in (0, 39):
        wanted = expected(photos[position], (16, 24))
        np.testing.assert_array_equal(np.asarray(accessor[as_int(position)]), wanted)
    np.testing.assert_array_equal(np.asarray(accessor[-1]), np.asarray(accessor[39]))
    np.testing.assert_array_equal(np.asarray(accessor[np.int8(-40)]), np.asarray(accessor[0]))
    assert len(accessor) == 40


def test_an_index_array_gives_a_list_of_images_of_their_own_size(photos: list[str]) -> None:
    images = NonUniformImageFileAccessor(photos)[INDICES]
    assert isinstance(images, list)
    for image, index in zip(images, INDICES, strict=True):
        with Image.open(photos[index]) as wanted:
            assert image.size == wanted.size
            assert image.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted))


def test_without_a_size_images_of_one_shape_stack_and_others_are_named(photos: list[str]) -> None:
    stack = ImageFileAccessor([photos[2]] * 3)[np.arange(3)]
    assert stack.shape == (3, *np.asarray(Image.open(photos[2])).shape)
    with pytest.raises(ReturnError, match="give a size") as caught:
        ImageFileAccessor(photos)[np.array([4, 5])]
    assert photos[4] in str(caught.value)
    assert photos[5] in str(caught.value)


def test_an_empty_index_array_gives_an_empty_stack(photos: list[str]) -> None:
    nothing = np.array([], dtype=np.int32)
    assert ImageFileAccessor(photos, (4, 5))[nothing].shape == (0, 4, 5, 3)
    assert NonUniformImageFileAccessor(photos)[nothing] == []
    with pytest.raises(ValueError, match="give a size"):
        ImageFileAccessor(photos)[nothing]


@BOTH
@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (np.array(3), ValueError, "1 dimension, not 0"),
        (np.array([[1, 2]]), ValueError, "1 dimension, not 2"),
        (np.array([0.0]), TypeError, "integers, not float64"),
        (np.array([True]), TypeError, "integers, not bool"),
        (1.0, TypeError, "float"),
        ("1", TypeError, "str"),
        ([0, 1], TypeError, "list"),
        (slice(2), TypeError, "slice"),
        (None, TypeError, "NoneType"),
        (40, IndexError, "index 40 is out of range for 40 samples"),
        (-41, IndexError, "index -41 is out of range for 40 samples"),
        (10**30, IndexError, f"index {10**30} is out of range for 40 samples"),
        (np.array([0, -41, 40]), IndexError, "index -41 is out of range for 40 samples"),
        (np.array([2**64 - 1], np.uint64), IndexError, f"index {2**64 - 1} is out of range"),
    ],
    ids=repr,
)
def test_a_wrong_index_is_named(
    photos: list[str], kind: Make, index: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        kind(photos, (8, 8))[index]


def test_indices_of_a_narrow_dtype_count_from_the_end_of_a_long_list(photos: list[str]) -> None:
    accessor = ImageFileAccessor(photos * 5, (8, 8))
    narrow = np.array([-1, 127, -128], dtype=np.int8)
    np.testing.assert_array_equal(accessor[narrow], accessor[np.array([199, 127, 72])])


@BOTH
def test_files_are_closed_also_when_they_cannot_be_read(
    photos: list[str], tmp_path: Path, kind: Make
) -> None:
    """Warnings are errors here, so a ResourceWarning about an open file would fail the test."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(photos[0]).read_bytes()[:300])
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.is_dir() else None
    for size in (None, (8, 8)):
        accessor = kind([*photos, str(broken)], size)
        kept = [accessor[0], accessor[np.array([1, 1])]]
        with pytest.raises(SampleReadError):
            accessor[40]
        if before is not None:
            assert len(list(descriptors.iterdir())) == before
        del kept


@BOTH
@pytest.mark.parametrize("threads", [0, 3])
def test_a_file_that_cannot_be_read_is_named_with_its_cause(
    photos: list[str], tmp_path: Path, kind: Make, threads: int
) -> None:
    missing, broken = str(tmp_path / "missing.jpg"), str(tmp_path / "broken.jpg")
    Path(broken).write_bytes(b"no image")
    accessor = kind([photos[0], missing, photos[1], broken], (8, 8))
    for index, path, cause in (
        (1, missing, FileNotFoundError),
        (3, broken, UnidentifiedImageError),
    ):
        for asked in (index, index - 4, np.array([0, 2, index]), np.array([0, 2, index - 4])):
            with maybe_threads(threads), pytest.raises(SampleReadError, match=str(index)) as caught:
                accessor[asked]
            error = caught.value
            assert (error.path, error.index) == (path, index)
            assert path in str(error)
            assert isinstance(error, OSError)
            assert isinstance(error.__cause__, cause)
            copy = pickle.loads(pickle.dumps(error))
            assert (str(copy), copy.path, copy.index) == (str(error), path, index)
    with maybe_threads(threads), pytest.raises(SampleReadError, match="broken"):
        accessor[np.array([0, 3, 1])]  # reports the first row that fails


@BOTH
@pytest.mark.parametrize("size", [None, (8, 9)])
def test_rows_made_on_threads_are_the_same(photos: list[str], kind: Make, size: Any) -> None:
    accessor = kind(photos, size)
    indices = np.arange(40) if size else np.array([7] * 9)
    wanted = list(map(np.asarray, list(accessor[indices])))
    with maybe_threads(4):
        np.testing.assert_array_equal(list(map(np.asarray, list(accessor[indices]))), wanted)


@BOTH
def test_accessors_and_their_images_pickle(photos: list[str], kind: Make) -> None:
    accessor = kind(photos, (8, 8), fit="pad")
    copy = pickle.loads(pickle.dumps(accessor))
    assert type(copy) is kind
    assert repr(copy) == repr(accessor)
    assert "40 images" in repr(copy)
    image = pickle.loads(pickle.dumps(copy[5]))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(accessor[5]))


def test_a_source_joins_accessors_and_arrays(photos: list[str]) -> None:
    images = ImageFileAccessor(photos, (8, 8))
    originals: Any = NonUniformImageFileAccessor(photos)
    source = ArrayDataSource([images, originals, np.arange(40)])
    for x, stored, labels in source.batch_iterator(16, shuffle=3):
        np.testing.assert_array_equal(x, images[labels])
        assert [image.size for image in stored] == [originals[i].size for i in labels]


DATA = np.arange(60, dtype=np.int32).reshape(20, 3)


def in_memory(folder: Path, values: Any) -> Any:
    return values.copy()


@pytest.mark.parametrize("make", [in_memory, memory_map, hdf5, zarr_array])
def test_array_likes_of_other_libraries_are_read_in_any_order(
    tmp_path: Path, make: Callable[[Path, Any], Any]
) -> None:
    source = ArrayDataSource(
        [make(tmp_path, DATA), DATA[:, 0]], indices=[5, 5, 19, 0, 7, 2, 11], repeats=2
    )
    for one in (source, pickle.loads(pickle.dumps(source))):
        for shuffle in (None, 3):
            rows: list[npt.NDArray[np.int32]] = []
            for x, y in one.batch_iterator(4, shuffle=shuffle):
                np.testing.assert_array_equal(x[:, 0], y)
                rows.append(x)
            assert [len(batch) for batch in rows] == [4, 4, 4, 2]
        for indices in (np.array([7, -1, 7]), np.array([], np.int64), slice(3, 9, 2)):
            x, _ = one.samples_by_indices_nomapping(indices)
            np.testing.assert_array_equal(x, DATA[indices])


def test_a_pickled_h5py_data_set_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hdf5(tmp_path, DATA).file.close()
    monkeypatch.chdir(tmp_path)
    h5py: Any = pytest.importorskip("h5py")
    pickled = pickle.dumps(ArrayDataSource([h5py.File("data.h5", "r")["x/y"]]))
    monkeypatch.chdir("/")
    (batch,) = pickle.loads(pickled).samples_by_indices(np.array([1]))
    np.testing.assert_array_equal(batch, DATA[[1]])


@pytest.mark.parametrize("make", [in_memory, memory_map, hdf5, zarr_array])
def test_array_likes_of_other_libraries_are_seen_as_float_images(
    tmp_path: Path, make: Callable[[Path, Any], Any]
) -> None:
    array = ImageArrayUInt8ToFloat32(make(tmp_path, DATA))
    (batch,) = ArrayDataSource([array]).samples_by_indices(np.array([7, 2, 7]))
    np.testing.assert_allclose(batch * 255, DATA[[7, 2, 7]], rtol=1e-6)
