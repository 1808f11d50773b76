"""Images in Parquet files, and orders that read whole row groups."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybatch as rb
from raybatch.accessors.kept import Kept
from raybatch.accessors.reading import row_executor
from tests.stores.parquet_photos import (
    KINDS,
    LABELS,
    ROWS,
    SIZE,
    as_struct,
    contents,
    write,
)


@pytest.fixture(scope="module")
def stored(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """All photos in one Parquet file, with labels."""
    out = tmp_path_factory.mktemp("stored") / "photos.parquet"
    rb.to_parquet(photos, out, labels=LABELS, rows_per_group=ROWS)
    return str(out)


@pytest.fixture(scope="module")
def wanted(photos: list[str]) -> npt.NDArray[Any]:
    return rb.ImageFileAccessor(photos, SIZE)[np.arange(40)]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str]]]:
    """The row groups that are read from now on, each with its columns."""
    seen: list[tuple[int, list[str]]] = []
    original = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, columns: list[str], **options: Any) -> Any:
        seen.append((group, columns))
        return original(self, group, columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    return seen


@contextmanager
def rows_on_threads() -> Iterator[None]:
    with ThreadPoolExecutor(4) as executor, row_executor(executor):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_are_those_of_the_files(
    photos: list[str], wanted: npt.NDArray[Any], tmp_path: Path, kind: Callable[..., Any]
) -> None:
    accessor = rb.ParquetImageAccessor(
        write(tmp_path / "a.parquet", kind(contents(photos))), size=SIZE
    )
    assert len(accessor) == 40
    assert accessor.row_group_lengths.tolist() == [7, 7, 7, 7, 7, 5]
    for indices in (np.arange(40), np.array([39, 0, -1, 3, 3, 8]), np.array([], np.int64)):
        np.testing.assert_array_equal(accessor[indices], wanted[indices])
        with rows_on_threads():
            np.testing.assert_array_equal(accessor[indices], wanted[indices])
    for index in (0, 6, 7, 39, -1, -40):
        np.testing.assert_array_equal(accessor[index], wanted[index])
    for outside in (40, -41, np.array([0, 40])):
        with pytest.raises(IndexError, match="out of range for 40 samples"):
            accessor[outside]


def test_settings_are_those_of_files(photos: list[str], stored: str) -> None:
    settings: Any = {"mode": "L", "fit": "pad", "layout": rb.PixelLayout(dtype=np.float32)}
    np.testing.assert_array_equal(
        rb.ParquetImageAccessor(stored, "image", SIZE, **settings)[np.arange(40)],
        rb.ImageFileAccessor(photos, SIZE, **settings)[np.arange(40)],
    )
    as_stored, files = rb.ParquetImageAccessor(stored), rb.NonUniformImageFileAccessor(photos)
    assert as_stored[5] == files[5]
    assert as_stored[np.array([4, 5, 39])] == files[np.array([4, 5, 39])]
    with pytest.raises(TypeError, match="no_such_setting"):
        rb.ParquetImageAccessor(stored, no_such_setting=1)


def test_files_and_folders_are_one_table_in_order(
    photos: list[str], wanted: npt.NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = contents(photos)
    # Files of several lengths, three of them without rows.
    cuts = [0, 0, 13, 14, 14, 33, 40, 40]
    files = [
        write(tmp_path / f"{number}.parquet", as_struct(images[a:b]), label=np.arange(a, b))
        for number, (a, b) in enumerate(pairwise(cuts))
    ]
    (tmp_path / "notes.txt").write_text("no Parquet")
    (tmp_path / ".5.parquet.12").write_text("still being written")
    (tmp_path / ".hidden.parquet").write_text("hidden")
    monkeypatch.chdir(tmp_path)
    for paths in (files, tmp_path, str(tmp_path), [tmp_path], map(Path, files), "."):
        accessor = rb.ParquetImageAccessor(paths, size=SIZE)
        np.testing.assert_array_equal(accessor[np.arange(40)], wanted)
        np.testing.assert_array_equal(accessor.column("label"), np.arange(40))
        assert accessor.row_group_lengths.sum() == 40
    backwards = rb.ParquetImageAccessor(files[::-1], size=SIZE)
    np.testing.assert_array_equal(backwards[0], wanted[33])
    places = [os.path.basename(accessor.name_of(position)) for position in (0, 12, 13, 14, 39)]
    assert places == [
        "1.parquet[0] (0.jpg)",
        "1.parquet[12] (12.jpg)",
        "2.parquet[0] (0.jpg)",
        "4.parquet[0] (0.jpg)",
        "5.parquet[6] (6.jpg)",
    ]
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(accessor[np.arange(40)], wanted)  # it still reads the old "."


def test_row_groups_are_read_once_while_they_are_kept(
    stored: str, reads: list[tuple[int, list[str]]]
) -> None:
    largest = max(
        pq.ParquetFile(stored).read_row_group(group, ["image.bytes"]).get_total_buffer_size()
        for group in range(6)
    )
    del reads[:]
    accessor = rb.ParquetImageAccessor(stored, size=SIZE, cache_bytes=int(2.4 * largest))
    assert reads == []
    accessor[np.array([0, 8, 1, 9, 0])]
    assert reads == [(0, ["image.bytes"]), (1, ["image.bytes"])]
    accessor[3]
    accessor[np.arange(14)]
    assert len(reads) == 2
    accessor[20]  # replaces group 0, which was used longer ago than group 1
    accessor[13]
    assert [group for group, _ in reads] == [0, 1, 2]
    accessor[0]
    assert [group for group, _ in reads] == [0, 1, 2, 0]
    del reads[:]
    accessor[np.random.default_rng(0).permutation(40)]
    assert len(reads) <= 6, "a batch reads no group twice, however few are kept"


def test_threads_that_ask_for_one_group_read_it_once() -> None:
    barrier = Barrier(2)
    calls: list[int] = []

    def read(group: int) -> bytes:
        calls.append(group)
        barrier.wait(30)  # groups 0 and 1 must be read at the same time
        return bytes([group])

    cache = Kept(read, len, 2)
    with ThreadPoolExecutor(8) as executor:
        got = list(executor.map(lambda n: cache[(n % 2,)], range(40)))
    assert got == [bytes([n % 2]) for n in range(40)]
    assert sorted(calls) == [0, 1]


def test_what_was_asked_for_last_is_kept_within_bytes() -> None:
    calls: list[int] = []

    def read(nbytes: int) -> bytes:
        calls.append(nbytes)
        return bytes(nbytes)

    cache = Kept(read, len, 10)
    for nbytes in (3, 7, 3, 7):
        assert len(cache[(nbytes,)]) == nbytes
    assert calls == [3, 7]
    cache[(1,)], cache[(7,)], cache[(3,)]  # the item of 1 byte has replaced that of 3 bytes
    assert calls == [3, 7, 1, 3]
    cache[(20,)], cache[(20,)], cache[(7,)]  # the last item is kept, whatever its size
    assert calls == [3, 7, 1, 3, 20, 7]


def test_a_group_that_could_not_be_read_is_read_again() -> None:
    failures = [OSError("not now")]

    def read(group: int) -> bytes:
        if failures:
            raise failures.pop()
        return bytes([group])

    cache = Kept(read, len, 1)
    with pytest.raises(OSError, match="not now"):
        cache[(3,)]
    assert cache[(3,)] == bytes([3])


def test_a_copy_reads_for_itself(
    stored: str, wanted: npt.NDArray[Any], reads: list[tuple[int, list[str]]]
) -> None:
    accessor = rb.ParquetImageAccessor(stored, size=SIZE)
    accessor[np.arange(14)]
    pickled = pickle.dumps(accessor)
    assert len(pickled) < 4000, "neither row groups nor open files"
    copy = pickle.loads(pickled)
    del reads[:]
    np.testing.assert_array_equal(copy[np.arange(40)], wanted)
    np.testing.assert_array_equal(copy[7], wanted[7])
    assert [group for group, _ in reads] == [*range(6)]
    assert repr(copy) == repr(accessor)


def test_a_fork_reads_for_itself(stored: str, reads: list[tuple[int, list[str]]]) -> None:
    accessor: Any = rb.ParquetImageAccessor(stored, size=SIZE)
    accessor[0]
    cache = accessor._store._groups
    cache._lock.acquire()  # as if another thread held the lock when the process forked
    cache._pid = -1
    accessor[0]
    assert len(reads) == 2


def test_pools_give_the_serial_stream(stored: str, actors: rb.RayActorPool) -> None:
    images = rb.ParquetImageAccessor(stored, size=SIZE, cache_bytes=1)
    sampler = rb.BlockShuffleSampler(images.row_group_lengths, window=2)
    source = rb.ArrayDataSource([images, images.column("label")], sampler=sampler)
    for shuffle in (None, 7):
        serial = rb.stream_digest(source.batch_iterator(6, shuffle=shuffle))
        for pool in (rb.ThreadPool(3), actors):
            with rb.Loader(source, 6, shuffle=shuffle, pool=pool) as loader:
                assert rb.stream_digest(loader) == serial


@pytest.mark.parametrize(
    ("paths", "column", "error", "message"),
    [
        ([], "image", ValueError, r"no \*\.parquet files were given"),
        ("empty", "image", FileNotFoundError, r"no \.parquet files in 'empty'"),
        ("none.parquet", "image", FileNotFoundError, r"none\.parquet"),
        ("text.parquet", "image", ValueError, r"text\.parquet' is not a Parquet file"),
        ("pipe", "image", OSError, "not a regular file.*pipe"),
        (
            "a.parquet",
            "picture",
            ValueError,
            r"a\.parquet' has no column 'picture'.*'label', 'image'",
        ),
        ("a.parquet", "label", TypeError, r"'label' of .*a\.parquet' is int64, not binary"),
        ("a.parquet", "text", TypeError, r"'text' of .*a\.parquet' is string, not binary"),
        ("a.parquet", "pair", TypeError, r"'pair' of .*is struct<bytes: string>, not binary"),
        (
            ["a.parquet", "b.parquet"],
            "image",
            ValueError,
            r"is large_binary in .*b\.parquet', but binary in .*a\.parquet'",
        ),
        (["a.parquet", "c.parquet"], "image", ValueError, r"c\.parquet' has no column 'image'"),
        (
            ["a.parquet"],
            (224, 224),
            TypeError,
            r"name of a column, not \(224, 224\): did you mean size=",
        ),
        (["twice.parquet"], "image", ValueError, "has 2 columns 'image'"),
        (7, "image", TypeError, "int"),
        ([7], "image", TypeError, "int"),
    ],
)
def test_files_that_do_not_fit_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: Any,
    column: Any,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.parquet").write_text("some text")
    os.mkfifo("pipe")
    image = pa.array([b"x"])
    pair = pa.array([{"bytes": "x"}])
    pq.write_table(
        pa.table({"label": [1], "image": image, "text": ["x"], "pair": pair}), "a.parquet"
    )
    pq.write_table(pa.table({"image": image.cast(pa.large_binary())}), "b.parquet")
    pq.write_table(pa.table({"label": [1]}), "c.parquet")
    pq.write_table(pa.Table.from_arrays([image, image], ["image", "image"]), "twice.parquet")
    with pytest.raises(error, match=message):
        rb.ParquetImageAccessor(paths, column)


def test_a_file_name_need_not_be_valid_utf_8(
    stored: str, wanted: npt.NDArray[Any], tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"\xff.parquet")
    os.link(stored, path)
    for paths in (path, tmp_path):
        np.testing.assert_array_equal(rb.ParquetImageAccessor(paths, size=SIZE)[0], wanted[0])


def test_a_cache_has_a_size(stored: str) -> None:
    with pytest.raises(ValueError, match="cache_bytes must be 1 or more, not 0"):
        rb.ParquetImageAccessor(stored, cache_bytes=0)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pa.array([3, 1, 2], pa.int16()), np.int16),
        (pa.array([0.5, 1, 2], pa.float32()), np.float32),
        (pa.array([True, False, True]), np.bool_),
        (pa.array(["b", "a", "cc"]), np.dtype("<U2")),
        (pa.array(["b", "a", "b"]).dictionary_encode(), np.dtype("<U1")),
        (pa.array([1, 2, 3], pa.timestamp("us")), np.dtype("<M8[us]")),
        (pa.array(["b", "a", "cc"], pa.string_view()), np.dtype("<U2")),
    ],
)
def test_other_columns_are_numpy_arrays(tmp_path: Path, values: pa.Array, dtype: Any) -> None:
    image = pa.array([b"x"] * 3)
    files = [
        write(tmp_path / f"{number}.parquet", image[a:b], rows=1, other=values[a:b])
        for number, (a, b) in enumerate([(0, 2), (2, 3)])
    ]
    column = rb.ParquetImageAccessor(files).column("other")
    assert column.dtype == dtype
    assert column.shape == (3,)
    assert column.tolist() == np.array(values.to_pylist(), dtype).tolist()


def test_columns_of_lists_and_structs(tmp_path: Path) -> None:
    boxes = [[[1.0, 2.0]], [], [[3.0, 4.0], [5.0, 6.0]]]
    kinds = {"lists": pa.list_, "large": pa.large_list, "views": pa.list_view}
    columns = {
        **{name: pa.array(boxes, kind(pa.list_(pa.float32(), 2))) for name, kind in kinds.items()},
        "pairs": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2)),
        "tensors": pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int8(), (2, 1)),
            pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int8(), 2)),
        ),
        "texts": pa.array([["a", "b"], [], ["c"]]),
        "objects": pa.array([{"id": n, "name": {"en": f"{n}"}} for n in range(3)]),
    }
    accessor = rb.ParquetImageAccessor(
        write(tmp_path / "a.parquet", pa.array([b"x"] * 3), rows=2, **columns)
    )
    for name in kinds:
        ragged = accessor.column(name)
        assert isinstance(ragged, rb.RaggedArray)
        assert (ragged.dtype, ragged.inner_shape) == (np.dtype(np.float32), (2,))
        assert [row.tolist() for row in ragged] == boxes
    assert accessor.column("pairs").tolist() == [[1, 2], [3, 4], [5, 6]]
    assert accessor.column("tensors").tolist() == [[[1], [2]], [[3], [4]], [[5], [6]]]
    assert accessor.column("objects.name.en").tolist() == ["0", "1", "2"]
    source = rb.ArrayDataSource([accessor.column("texts"), accessor.column("objects")])
    texts, objects = next(source.batch_iterator(3))
    assert texts == [["a", "b"], [], ["c"]]
    assert objects["id"].tolist() == [0, 1, 2]


def test_columns_that_are_no_arrays_are_named(tmp_path: Path) -> None:
    image = pa.array([b"x"] * 3)
    holes = pa.array([1, None, 3])
    path = write(tmp_path / "a.parquet", image, rows=1, holes=holes, lists=[[1], [None], [3]])
    accessor = rb.ParquetImageAccessor(path)
    with pytest.raises(ValueError, match=r"'holes' is null at '.*a\.parquet\[1\]'"):
        accessor.column("holes")
    with pytest.raises(ValueError, match="no column 'absent'"):
        accessor.column("absent")
    with pytest.raises(TypeError, match=r"'image' of .*a\.parquet' is binary"):
        accessor.column("image")
    with pytest.raises(ValueError, match=r"'lists' of .*a\.parquet' is list.*row 1 is null"):
        accessor.column("lists")


def test_a_window_reads_each_of_its_row_groups_once(
    stored: str, reads: list[tuple[int, list[str]]]
) -> None:
    images = rb.ParquetImageAccessor(stored, size=SIZE)
    sampler = rb.BlockShuffleSampler(images.row_group_lengths, window=2)
    source = rb.ArrayDataSource([images], sampler=sampler)
    with rb.Loader(source, 3, shuffle=0) as loader:
        for epoch in range(3):
            del reads[:]
            list(loader)
            # Groups that are still kept from the last epoch need not be read again.
            assert len(reads) == len({group for group, _ in reads}) <= 6, epoch


def test_a_cache_that_is_too_small_is_told(
    stored: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raybatch.notices._told", {})  # a notice is shown once per process
    for cache_bytes in (2**20, 1):
        images = rb.ParquetImageAccessor(stored, size=SIZE, cache_bytes=cache_bytes)
        sampler = rb.BlockShuffleSampler(images.row_group_lengths, window=3)
        source = rb.ArrayDataSource([images], sampler=sampler)
        with rb.Loader(source, 2, shuffle=0) as loader:
            for _ in range(3):
                list(loader)
        told = capsys.readouterr().err
        assert ("give a larger cache_bytes" in told) == (cache_bytes == 1)
        assert told.count("again and again") <= 1


def test_the_field_of_a_struct_is_a_column_too(
    photos: list[str], wanted: npt.NDArray[Any], tmp_path: Path
) -> None:
    path = tmp_path / "struct.parquet"
    pq.write_table(pa.table({"image": [{"bytes": data} for data in contents(photos)]}), path)
    images = rb.ParquetImageAccessor(str(path), "image.bytes", SIZE)
    np.testing.assert_array_equal(images[np.arange(40)], wanted)
