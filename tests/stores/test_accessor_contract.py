"""The behaviour that every accessor of images must have.

To test a new accessor, write a subclass with one fixture.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.stores.parquet_photos import LABELS, ROWS, SIZE
from tests.stores.shard_files import write_shards

COUNT = 40


class AccessorTests:
    """Tests of an accessor; a subclass has the fixture `accessor`, with the photos at `SIZE`."""

    @pytest.fixture
    @classmethod
    def wanted(cls, photos: list[str]) -> Any:
        return rb.ImageFileAccessor(photos, SIZE)[np.arange(COUNT)]

    def test_it_has_a_length_and_gives_batches(self, accessor: Any, wanted: Any) -> None:
        assert len(accessor) == COUNT
        batch = accessor[np.arange(COUNT)]
        assert (batch.shape, batch.dtype) == ((COUNT, *SIZE, 3), np.uint8)
        assert np.array_equal(batch, wanted)

    @pytest.mark.parametrize("index", [[3], [39, 0, 39], [-1, -40, 7], []], ids=str)
    def test_any_indices_in_any_order(self, index: list[int], accessor: Any, wanted: Any) -> None:
        rows = np.array(index, int)
        assert np.array_equal(accessor[rows], wanted[rows])

    def test_one_index_gives_one_sample(self, accessor: Any, wanted: Any) -> None:
        for index in (0, 39, -1, np.int64(17)):
            assert np.array_equal(accessor[index], wanted[index])

    @pytest.mark.parametrize("index", [COUNT, -COUNT - 1])
    def test_an_index_beyond_the_end_is_named(self, index: int, accessor: Any) -> None:
        with pytest.raises(IndexError, match=str(index)):
            accessor[np.array([0, index])]

    @pytest.mark.parametrize("index", [True, 1.0, "0", None, slice(2), np.ones(COUNT, bool)])
    def test_what_is_no_index_is_a_type_error(self, index: Any, accessor: Any) -> None:
        with pytest.raises(TypeError, match="index"):
            accessor[index]

    def test_it_travels_to_another_process(self, accessor: Any, wanted: Any) -> None:
        copy = pickle.loads(pickle.dumps(accessor))
        assert np.array_equal(copy[np.arange(5)], wanted[:5])

    def test_a_batch_does_not_change_with_the_next(self, accessor: Any, wanted: Any) -> None:
        first = accessor[np.arange(5)]
        accessor[np.arange(5, 10)]
        assert np.array_equal(first, wanted[:5])


class TestImageFiles(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str]) -> Any:
        return rb.ImageFileAccessor([Path(path) for path in photos], SIZE)


class TestCached(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str], tmp_path: Path) -> Any:
        return rb.CachedAccessor(rb.ImageFileAccessor(photos, SIZE), tmp_path / "cache", 10**9)


class TestEncoded(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str]) -> Any:
        return rb.EncodedImageAccessor([Path(path).read_bytes() for path in photos], SIZE)


class TestParquet(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str], tmp_path: Path) -> Any:
        rb.to_parquet(photos, tmp_path / "photos.parquet", labels=LABELS, rows_per_group=ROWS)
        return rb.ParquetImageAccessor(tmp_path / "photos.parquet", size=SIZE)


class TestTarShards(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str], tmp_path: Path) -> Any:
        return rb.TarShards(write_shards(tmp_path, photos)).images("jpg", SIZE)


class TestZipShards(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str], tmp_path: Path) -> Any:
        return rb.ZipShards(write_shards(tmp_path, photos, ".zip")).images("jpg", SIZE)


class TestPacked(AccessorTests):
    @pytest.fixture
    @classmethod
    def accessor(cls, photos: list[str], tmp_path: Path) -> Any:
        source = rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), LABELS])
        rb.pack(source, tmp_path / "packed", batch_size=8, rows_per_file=15)
        return rb.PackedAccessor(tmp_path / "packed")
