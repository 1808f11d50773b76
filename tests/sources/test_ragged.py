"""`rb.RaggedArray`, whose rows have unequal lengths: conversion, indexing, pickling, batches."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybatch as rb

BOXES = [[[1.0, 2.0], [3.0, 4.0]], [], [[5.0, 6.0]], [[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]]]
ARRAYS = [np.array(boxes, np.float32).reshape(-1, 2) for boxes in BOXES]


def lists(ragged: rb.RaggedArray) -> list[Any]:
    return [row.tolist() for row in ragged]


def arrow(kind: pa.DataType) -> pa.Array:
    return pa.array(BOXES, kind)


FLOAT = pa.float32()
PAIR = pa.list_(FLOAT, 2)
MADE: dict[str, Callable[[], rb.RaggedArray]] = {
    "arrays": lambda: rb.RaggedArray(ARRAYS),
    "arrays, one with no dtype": lambda: rb.RaggedArray(
        [array if len(array) else np.array([]) for array in ARRAYS]
    ),
    "lists": lambda: rb.RaggedArray(BOXES, np.float32),
    "values and offsets": lambda: rb.RaggedArray.from_offsets(
        np.concatenate([np.ones((5, 2), np.float32), *ARRAYS, ARRAYS[0]]), [5, 7, 7, 8, 11]
    ),
    "arrays, one of another dtype without values": lambda: rb.RaggedArray(
        [array if len(array) else array.astype(np.complex64) for array in ARRAYS]
    ),
    "list": lambda: rb.RaggedArray(arrow(pa.list_(PAIR))),
    "list of lists": lambda: rb.RaggedArray(arrow(pa.list_(pa.list_(FLOAT)))),
    "large list": lambda: rb.RaggedArray(arrow(pa.large_list(pa.large_list(FLOAT)))),
    "list view": lambda: rb.RaggedArray(arrow(pa.list_view(PAIR))),
    "large list view": lambda: rb.RaggedArray(arrow(pa.large_list_view(pa.list_view(FLOAT)))),
    "slice": lambda: rb.RaggedArray(pa.array([[[0, 0]], *BOXES, None], pa.list_(PAIR))[1:-1]),
    "chunks": lambda: rb.RaggedArray(
        pa.chunked_array([arrow(pa.list_(PAIR))[:1], arrow(pa.list_(PAIR))[1:]])
    ),
    "chunks, one without values": lambda: rb.RaggedArray(
        pa.chunked_array(
            [arrow(pa.list_(pa.list_(FLOAT)))[at] for at in (slice(1), slice(1, 2), slice(2, 4))]
        )
    ),
    "converted column": lambda: rb.RaggedArray(arrow(pa.list_(pa.list_(pa.float64()))), np.float32),
}


@pytest.fixture(params=MADE)
def ragged(request: pytest.FixtureRequest) -> Any:
    return MADE[request.param]()


def test_it_holds_what_it_was_made_of(ragged: Any) -> None:
    assert lists(ragged) == BOXES
    assert (len(ragged), str(ragged.dtype), ragged.inner_shape) == (4, "float32", (2,))
    assert (ragged.values.shape, ragged.values.flags.c_contiguous) == ((6, 2), True)
    assert (ragged.offsets.tolist(), ragged.offsets.dtype) == ([0, 2, 2, 3, 6], np.int64)
    assert ragged.lengths.tolist() == [2, 0, 1, 3]
    assert ragged.nbytes == 6 * 2 * 4 + 5 * 8


INDICES: list[Any] = [
    slice(1, 3),
    slice(3, 1),
    slice(None, None, -2),
    slice(2),
    np.array([3, 0, 3, -3]),
    [2, 1],
    np.array([], int),
    np.array([True, False, True, True]),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_rows_are_taken_as_from_an_array(ragged: Any, index: Any) -> None:
    taken = ragged[index]
    assert type(taken) is rb.RaggedArray
    assert lists(taken) == [BOXES[row] for row in np.arange(4)[index]]
    assert (taken.offsets[0], taken.offsets[-1]) == (0, len(taken.values))
    assert (str(taken.dtype), taken.inner_shape) == ("float32", (2,))


def test_one_row_is_a_view() -> None:
    ragged = rb.RaggedArray(ARRAYS)
    for row in (3, -1, np.int64(3)):
        assert ragged[row].tolist() == BOXES[3]
        assert np.shares_memory(ragged[row], ragged.values)
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        ragged[4]
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        ragged[np.array([0, 4])]


def test_a_run_of_rows_is_a_view() -> None:
    ragged = rb.RaggedArray(ARRAYS)
    assert np.shares_memory(ragged[2:].values, ragged.values)


def test_it_is_shown_by_its_shape() -> None:
    assert (
        repr(rb.RaggedArray(ARRAYS))
        == "RaggedArray(4 rows of shape (length, 2), 6 values, float32)"
    )


def test_without_values_it_is_what_was_asked_for() -> None:
    several: list[Any] = [[], [[], []]]
    for rows in several:
        ragged: Any = rb.RaggedArray(rows, np.int32, (4,))
        assert (len(ragged), ragged.values.shape, ragged.dtype) == (len(rows), (0, 4), np.int32)
    column = rb.RaggedArray(pa.array([[]], pa.list_(pa.list_(FLOAT))), inner_shape=(4,))
    assert column.values.shape == (0, 4)
    assert len(rb.RaggedArray(pa.chunked_array([], pa.list_(FLOAT)))) == 0
    assert rb.RaggedArray([np.zeros((0, 4), np.int8)]).values.shape == (0, 4)


def test_what_is_empty_in_an_inner_axis_keeps_its_length() -> None:
    assert rb.RaggedArray([np.zeros((3, 0)), np.zeros((1, 0))]).lengths.tolist() == [3, 1]


WRONG: dict[str, tuple[Any, str]] = {
    "inner shape": (
        [[[1, 2]], [[3, 4, 5]]],
        r"row 1 has shape \(1, 3\), but must have \(length, 2\), like row 0",
    ),
    "dimensions": ([[1], [], [[1]]], r"row 2 has shape \(1, 1\), but must have \(length,\)"),
    "a number": ([[1], 2], "row 1 is 2, a number, but must be an array or a list"),
    "numbers": ([1, 2], "row 0 is 1, a number, but must be"),
    "kind": ([[], [1], [True]], "row 2 holds bool, and row 1 int64: give dtype="),
    "text": ([[1], ["a"]], "row 1, a list, is not an array of numbers: its dtype is <U1"),
    "None": ([[1], None], "row 1, a NoneType, is not an array of numbers: its dtype is object"),
    "uneven": ([[[1], [1, 2]]], "row 0 is not an array of numbers"),
    "null": (pa.array([[1], None]), "row 1 is null"),
    "null value": (pa.array([[1], [], [2, None]]), "row 2 is null, or holds a null"),
    "null in a chunk": (pa.chunked_array([[[1], [2]], [[3], None]]), "row 3 is null"),
    "null pair": (pa.array([[[1, 2]], [[3, 4], None]], pa.list_(PAIR)), "row 1 is null"),
    "null deep": (pa.array([[[1, 2]], [], [[3, None]]], pa.list_(PAIR)), "row 2 is null"),
    "inner lists": (
        pa.array([[[1, 2]], [], [[3, 4], [5]]]),
        "row 2 holds a list of 1 values, and row 0 one of 2",
    ),
    "column of numbers": (pa.array([1, 2]), "lists of numbers, not of an Arrow array of int64"),
    "column of texts": (pa.array([["a"]]), "numbers, not Arrow's string"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_row_that_does_not_fit_is_named(name: str) -> None:
    rows, message = WRONG[name]
    with pytest.raises((TypeError, ValueError), match=message):
        rb.RaggedArray(rows)


def test_a_dtype_changes_no_value() -> None:
    assert rb.RaggedArray([[1.0], [2]], np.uint8).dtype == np.uint8
    for rows in ([[1], [2.5]], pa.array([[1], [2.5]])):
        with pytest.raises(TypeError, match="holds float64, which dtype=int64 would change"):
            rb.RaggedArray(rows, int)
    for number, dtype in (
        (300, np.int8),
        (2**31, np.int32),
        (1e300, np.float32),
        (2**17, np.float16),
    ):
        for rows in ([[number]], pa.array([[number]])):
            with pytest.raises(TypeError, match=f"dtype={np.dtype(dtype)} would change"):
                rb.RaggedArray(rows, dtype)
    # A value may be rounded.
    assert rb.RaggedArray([[0.1, np.inf, np.nan]], np.float32).dtype == np.float32
    with pytest.raises(ValueError, match=r"inner shape \(\), not \(4,\)"):
        rb.RaggedArray(pa.array([[1]]), inner_shape=(4,))


@pytest.mark.parametrize(
    "offsets", [[0, 2, 1, 6], [0, 7], [-1, 2], [], [[0, 1]], [0.0, 1.0]], ids=str
)
def test_offsets_must_fit_the_values(offsets: Any) -> None:
    with pytest.raises(ValueError, match="offsets must"):
        rb.RaggedArray.from_offsets(np.arange(6), offsets)


def test_tensors_are_rows() -> None:
    torch: Any = pytest.importorskip("torch")
    ragged: Any = rb.RaggedArray([torch.tensor(array, requires_grad=True) for array in ARRAYS])
    assert (lists(ragged), ragged.dtype) == (BOXES, np.float32)


def test_a_column_of_parquet_and_of_polars(tmp_path: Path) -> None:
    pq.write_table(pa.table({"boxes": arrow(pa.list_(PAIR))}), tmp_path / "boxes.parquet")
    column = pq.read_table(tmp_path / "boxes.parquet")["boxes"]
    assert lists(rb.RaggedArray(column)) == BOXES
    polars: Any = pytest.importorskip("polars")
    assert lists(rb.RaggedArray(polars.read_parquet(tmp_path / "boxes.parquet")["boxes"])) == BOXES


def test_a_column_is_not_copied() -> None:
    column = arrow(pa.list_(PAIR))
    there = np.frombuffer(column.values.values.buffers()[1], np.float32)
    assert np.shares_memory(rb.RaggedArray(column).values, there)


def test_it_travels_without_a_copy() -> None:
    ragged = rb.RaggedArray([np.ones((length, 100)) for length in range(20)])[3:]
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(ragged, protocol=5, buffer_callback=buffers.append)
    assert (len(pickled) < 500, sum(buffer.raw().nbytes for buffer in buffers)) == (
        True,
        ragged.nbytes,
    )
    back = pickle.loads(pickled, buffers=buffers)
    assert np.shares_memory(back.values, ragged.values)
    assert lists(back) == lists(ragged)


def test_a_memory_map_travels_as_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.arange(10**5))
    values = np.load(tmp_path / "values.npy", mmap_mode="r")
    ragged = rb.RaggedArray.from_offsets(values, [0, 3, 10**5])
    pickled = pickle.dumps(ragged)
    assert len(pickled) < 1000
    assert pickle.loads(pickled)[0].tolist() == [0, 1, 2]


def field() -> rb.ArrayDataSource:
    return rb.ArrayDataSource({"image": np.zeros((4, 40, 40, 3)), "boxes": rb.RaggedArray(ARRAYS)})


def test_a_field_comes_out_as_it_is() -> None:
    for batch, rows in zip(field().batch_iterator(3), (BOXES[:3], BOXES[3:]), strict=True):
        assert type(batch["boxes"]) is rb.RaggedArray
        assert lists(batch["boxes"]) == rows


def test_actors_give_the_serial_stream(actors: rb.RayActorPool) -> None:
    source = field().map_samples(
        lambda sample, rng: {**sample, "boxes": sample["boxes"] * rng.random(dtype=np.float32)},
        collate={"boxes": rb.Ragged()},
    )
    for given in (field(), source):
        serial = list(rb.Loader(given, 3, shuffle=1, last_batch="pad"))
        with rb.Loader(given, 3, shuffle=1, last_batch="pad", pool=actors) as loader:
            made = list(loader)
        assert rb.stream_digest(made) == rb.stream_digest(serial)
        assert [len(batch["boxes"]) for batch in made] == [3, 3]
        # Beside large images, boxes are copies, so that they do not keep the images in the store.
        assert all(batch["boxes"].values.flags.owndata for batch in made)
        assert not made[0]["boxes"].values.flags.writeable


def test_a_digest_tells_lengths_and_kind() -> None:
    flat = np.arange(4)
    batches = [rb.RaggedArray.from_offsets(flat, offsets) for offsets in ([0, 1, 4], [0, 2, 4])]
    digests = {
        rb.stream_digest([batch])
        for batch in (*batches, [flat[:1], flat[1:]], (flat, np.array([0, 1, 4])))
    }
    assert len(digests) == 4


def test_integers_among_floats_are_floats() -> None:
    ragged = rb.RaggedArray([[1, 2], [2.5], []])
    assert ragged.dtype == np.float64
    assert [row.tolist() for row in ragged] == [[1, 2], [2.5], []]


def test_large_integers_stay_integers() -> None:
    ragged = rb.RaggedArray([[1], [2**63 + 1]])
    assert ragged.dtype == np.uint64
    assert ragged.values.tolist() == [1, 2**63 + 1]
    with pytest.raises(TypeError, match="below 0 and numbers above"):
        rb.RaggedArray([[-1], [2**63 + 1]])
