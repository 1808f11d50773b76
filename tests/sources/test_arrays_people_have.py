"""Columns and data sets of other libraries as arrays, in this process and in Ray actors."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.stores.file_arrays import hdf5, memory_map, zarr_array

VALUES = np.arange(60.0).reshape(20, 3)
NAMES = [f"name {number}" for number in range(20)]
INDICES = np.array([7, 0, 19, 7])


def pandas_column(folder: Path) -> Any:
    pandas: Any = pytest.importorskip("pandas")
    # The index is reversed, so a lookup by label would find other rows.
    return pandas.DataFrame({"x": VALUES[:, 0]}, index=range(19, -1, -1))["x"]


def pandas_frame(folder: Path) -> Any:
    pandas: Any = pytest.importorskip("pandas")
    return pandas.DataFrame(VALUES, columns=["x", "y", "z"], index=range(19, -1, -1))


def pandas_names(folder: Path) -> Any:
    pandas: Any = pytest.importorskip("pandas")
    return pandas.Series(NAMES, index=range(19, -1, -1))


def polars_column(folder: Path) -> Any:
    polars: Any = pytest.importorskip("polars")
    return polars.DataFrame({"x": VALUES[:, 0]})["x"]


def polars_frame(folder: Path) -> Any:
    polars: Any = pytest.importorskip("polars")
    return polars.DataFrame(VALUES)


def polars_names(folder: Path) -> Any:
    polars: Any = pytest.importorskip("polars")
    return polars.Series(NAMES)


def hugging_face(folder: Path) -> Any:
    datasets: Any = pytest.importorskip("datasets")
    columns = {"x": VALUES[:, 0], "xyz": VALUES.tolist(), "name": NAMES}
    return datasets.Dataset.from_dict(columns)


def torch_data_set(folder: Path) -> Any:
    torch: Any = pytest.importorskip("torch")

    class Pairs(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            if not isinstance(index, int):
                raise TypeError("an int is wanted")
            return torch.tensor(VALUES[index]), NAMES[index]

    return Pairs()


ARRAYS: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "memmap": (lambda folder: memory_map(folder, VALUES), VALUES),
    "h5py": (lambda folder: hdf5(folder, VALUES), VALUES),
    "zarr": (lambda folder: zarr_array(folder, VALUES), VALUES),
    "pandas column": (pandas_column, VALUES[:, 0]),
    "pandas frame": (pandas_frame, VALUES),
    "pandas strings": (pandas_names, NAMES),
    "polars column": (polars_column, VALUES[:, 0]),
    "polars frame": (polars_frame, VALUES),
    "polars strings": (polars_names, NAMES),
    "Hugging Face numbers": (lambda folder: hugging_face(folder)["x"], VALUES[:, 0]),
    "Hugging Face arrays": (
        lambda folder: hugging_face(folder).with_format("numpy")["xyz"],
        VALUES.astype(np.float32),
    ),
    "Hugging Face strings": (lambda folder: hugging_face(folder)["name"], NAMES),
    "PyTorch": (torch_data_set, (VALUES, NAMES)),
    "TensorDataset": (lambda folder: tensor_data_set(), (VALUES,)),
    "list of tuples": (
        lambda folder: rb.ItemAccessor(list(zip(VALUES, NAMES, strict=True))),
        (VALUES, NAMES),
    ),
}


def tensor_data_set() -> Any:
    torch: Any = pytest.importorskip("torch")
    return torch.utils.data.TensorDataset(torch.tensor(VALUES))


def rows_of(expected: Any, indices: Any) -> Any:
    if isinstance(expected, tuple):
        return tuple(rows_of(member, indices) for member in expected)
    if isinstance(expected, list):
        return [expected[index] for index in indices]
    return expected[indices]


@pytest.fixture(params=ARRAYS)
def array(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    make, expected = ARRAYS[request.param]
    return make(tmp_path), expected


def test_rows_come_in_any_order(array: tuple[Any, Any]) -> None:
    foreign, expected = array
    source = rb.ArrayDataSource([foreign, np.arange(20)])
    for indices in (INDICES, INDICES[:1]):
        batch, _ = source.samples_by_indices(indices)
        assert rb.stream_digest([batch]) == rb.stream_digest([rows_of(expected, indices)])


def test_actors_give_what_is_given_here(array: tuple[Any, Any], actors: rb.RayActorPool) -> None:
    foreign, expected = array
    source = rb.ArrayDataSource([foreign])
    whole = [(rows_of(expected, x),) for (x,) in rb.Loader(numbers(), 7, shuffle=3)]
    assert rb.stream_digest(source.batch_iterator(7, shuffle=3)) == rb.stream_digest(whole)
    with rb.Loader(source, 7, shuffle=3, pool=actors) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(whole)


def numbers() -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(20)])


def test_images_of_hugging_face_stay_images(photos: list[str]) -> None:
    datasets: Any = pytest.importorskip("datasets")
    pictures = datasets.Dataset.from_dict({"image": photos}).cast_column("image", datasets.Image())
    (batch,) = rb.ArrayDataSource([pictures["image"]]).samples_by_indices(np.array([3, 1]))
    expected = rb.NonUniformImageFileAccessor(photos)[np.array([3, 1])]
    assert rb.stream_digest([batch]) == rb.stream_digest([expected])


def test_a_whole_hugging_face_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"pass its columns, data_set\[name\]"):
        rb.ArrayDataSource([hugging_face(tmp_path)])


def test_items_are_read_by_an_int_too() -> None:
    items = rb.ItemAccessor(["a", "b", "c"])
    assert (items[-1], items[np.array([2, 0])], items[np.array([], int)]) == ("c", ["c", "a"], [])
    assert pickle.loads(pickle.dumps(items))[1] == "b"
    with pytest.raises(IndexError, match="index 3 is out of range for 3 samples"):
        items[3]
    with pytest.raises(TypeError, match="items must have a length and take an int"):
        rb.ItemAccessor(iter("abc"))
