"""Parquet files that have changed, or whose images cannot be read."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybatch as rb
from raybatch.errors import SampleReadError
from tests.stores.parquet_photos import KINDS, SIZE, as_struct, as_view_struct, contents, write


def broken_images(photos: list[str]) -> list[bytes | None]:
    images: list[bytes | None] = [*contents(photos[:10])]
    images[3], images[8] = b"no image", None
    return images


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_is_named_by_file_and_row(
    photos: list[str], tmp_path: Path, kind: Callable[..., Any]
) -> None:
    first = write(tmp_path / "0.parquet", kind(contents(photos[:5])))
    second = write(tmp_path / "1.parquet", kind(broken_images(photos)), rows=4)
    accessor = rb.ParquetImageAccessor([first, second], size=SIZE)
    for row, reason in ((3, "cannot identify image file"), (8, "the image is null")):
        index = 5 + row
        name = f"{second}[{row}]" + (f" ({row}.jpg)" if kind in (as_struct, as_view_struct) else "")
        for asked in (index, np.array([0, index, 1]), np.array([0, index - 15])):
            with pytest.raises(SampleReadError, match=reason) as caught:
                accessor[asked]
            assert (caught.value.path, caught.value.index) == (name, index)
    with pytest.raises(SampleReadError, match="is null"):
        accessor[np.array([13, 8])]  # the error is about the first row that fails
    with rb.Loader(rb.ArrayDataSource([accessor]), 4, bad_samples="skip") as loader:
        assert sum(len(x) for (x,) in loader) == 13
        assert [bad.index for bad in loader.bad_samples] == [8, 13]


def test_where_the_bytes_are_null_the_path_is_read(photos: list[str], tmp_path: Path) -> None:
    os.link(photos[1], tmp_path / "near.jpg")
    rows = [{"bytes": None, "path": path} for path in (photos[0], "near.jpg")]
    column = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    accessor = rb.ParquetImageAccessor(write(tmp_path / "a.parquet", column), size=SIZE)
    files = rb.ImageFileAccessor(photos[:2], SIZE)
    np.testing.assert_array_equal(accessor[np.arange(2)], files[np.arange(2)])


def test_a_stored_url_is_told_without_its_secrets(tmp_path: Path) -> None:
    rows = [{"bytes": None, "path": "http://me:password@127.0.0.1:1/a.jpg?token=123456"}]
    column = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    accessor = rb.ParquetImageAccessor(write(tmp_path / "a.parquet", column), size=SIZE)
    with pytest.raises(SampleReadError, match="Cannot connect") as caught:
        accessor[0]
    told = "".join(traceback.format_exception(caught.value)) + accessor.name_of(0)
    assert "127.0.0.1:1" in told
    assert "password" not in told
    assert "123456" not in told


def test_a_null_struct_has_no_image(photos: list[str], tmp_path: Path) -> None:
    rows = [{"bytes": Path(photos[0]).read_bytes(), "path": None}, None]
    column = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    accessor = rb.ParquetImageAccessor(write(tmp_path / "a.parquet", column), size=SIZE)
    assert accessor.name_of(0) == f"{tmp_path}/a.parquet[0]"
    with pytest.raises(SampleReadError, match=r"a\.parquet\[1\]'.*null"):
        accessor[1]


@pytest.mark.parametrize("change", ["other groups", "other column", "gone", "truncated"])
def test_a_file_that_changed_is_an_error(photos: list[str], tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.parquet"
    accessor = rb.ParquetImageAccessor(write(path, as_struct(contents(photos))), size=SIZE)
    if change == "other groups":
        write(path, as_struct(contents(photos)), rows=5)
    elif change == "other column":
        pq.write_table(pa.table({"other": contents(photos)}), path, row_group_size=7)
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:999])
    reason = {"gone": "is empty", "truncated": "not a Parquet file"}
    if change != "gone":  # in this process, the missing file is still open
        with pytest.raises(SampleReadError, match="has changed"):
            accessor[2]
    accessor = pickle.loads(pickle.dumps(accessor))  # like the copy in an actor
    with pytest.raises(SampleReadError, match=reason.get(change, "has changed")) as caught:
        accessor[np.array([30, 2])]
    assert caught.value.path.startswith(f"{path}[30]")
