"""Tests for every source with random access.

To test a new source, write a subclass with one fixture.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_equal

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS
from raybatch.sources.batch import batch_length
from raybatch.sources.ledger import BadSample
from raybatch.sources.source import rows_at


def numbers(count: int, start: int = 0, **settings: Any) -> rb.ArrayDataSource:
    x = np.arange(start, start + count)
    return rb.ArrayDataSource([x, x * 2.0], **settings)


def one_more(x: Any, y: Any) -> tuple[Any, Any]:
    return x + 1, y


def drawn(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, float]:
    return x, rng.random()


class SourceTests:
    """The tests of a source; a subclass returns the source from its fixture `source`.

    The source has several samples. `bad` is a sample that a pass reads; a subclass sets it if no
    pass reads sample 1 of the source itself.
    """

    bad = BadSample(1, "ValueError", "1 is bad")

    @pytest.fixture
    def source(self) -> AbstractDataSource:
        raise NotImplementedError

    def test_its_numbers_are_those_of_a_pass(self, source: AbstractDataSource) -> None:
        for size in (1, 2, 100):
            for shuffle in (None, 3):
                batches = list(source.batch_iterator(size, shuffle=shuffle))
                assert source.num_batches(size, shuffle=shuffle) in (len(batches), None)
                assert sum(map(batch_length, batches)) == source.num_samples() == len(source)

    def test_samples_are_the_rows_of_a_pass_in_order(self, source: AbstractDataSource) -> None:
        batches = list(rb.Loader(source, 1))
        for index, batch in enumerate(batches):
            assert_equal(source[index], first_of(batch))
        assert_equal(source[-1], source[len(source) - 1])
        for outside in (len(source), -len(source) - 1):
            with pytest.raises(IndexError, match=f"index {outside} is out of range"):
                source[outside]
        samples: Any = source  # Python iterates over it by `samples[i]`
        assert len(list(samples)) == len(source) == len(batches)

    @pytest.mark.parametrize("shuffle", [None, 5])
    def test_indices_of_a_batch_make_it(self, shuffle: Any, source: AbstractDataSource) -> None:
        assert source.is_random_access
        indices = source.batch_indices_iterator(2, shuffle=shuffle)
        made = [source.samples_by_indices_nomapping(batch) for batch in indices]
        wanted = list(source.batch_iterator(2, shuffle=shuffle))
        assert list(map(shape_of, made)) == list(map(shape_of, wanted))

    def test_a_seed_gives_one_order(self, source: AbstractDataSource) -> None:
        digests = [rb.stream_digest(source.batch_iterator(2, shuffle=seed)) for seed in (7, 7, 8)]
        assert digests[0] == digests[1] != digests[2]

    def test_it_travels_to_another_process(self, source: AbstractDataSource) -> None:
        copy = pickle.loads(pickle.dumps(source))
        for shuffle in (None, 7):
            one, other = (each.batch_iterator(2, shuffle=shuffle) for each in (source, copy))
            assert rb.stream_digest(one) == rb.stream_digest(other)
        assert repr(copy) == repr(source)
        assert repr(source).startswith(f"{type(source).__name__}({len(source)} samples")

    def test_a_row_is_drawn_in_the_place_of_a_bad_one(self, source: AbstractDataSource) -> None:
        one = present(rows_at(source, 0))
        for seed in range(5):
            other = source.draw(one, np.random.default_rng(seed))
            assert shape_of(source.read(other, NO_KEYS)) == shape_of(source.read(one, NO_KEYS))

    def test_a_bad_sample_is_left_out(self, source: AbstractDataSource) -> None:
        before = read_by(source)[self.bad.member]
        assert self.bad.index in before
        after = read_by(source.without([self.bad]))[self.bad.member]
        assert self.bad.index not in after
        assert after >= before - {self.bad.index}
        assert read_by(source)[self.bad.member] == before
        elsewhere = BadSample(1, "ValueError", "1 is bad", member=(7,))
        with pytest.raises(ValueError, match="from a different source"):
            source.without([elsewhere])


def read_by(source: Any) -> dict[tuple[int, ...], set[int]]:
    """Return the indices that a pass reads in each innermost source, by the path of that source."""
    read: dict[tuple[int, ...], set[int]] = {}
    for number in range(len(source)):
        for part in present(rows_at(source, number)).parts:
            read.setdefault(part.path, set()).add(int(part.indices[0]))
    return read


def present(rows: Rows | None) -> Rows:
    assert rows is not None
    return rows


def first_of(batch: Any) -> Any:
    """Return the first row of a batch, in the structure of the batch."""
    if isinstance(batch, dict):
        return {key: first_of(value) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(map(first_of, batch))
    return batch[0]


def shape_of(batch: Any) -> Any:
    """Return the structure of a batch, with the shape and dtype of each array."""
    if isinstance(batch, dict):
        return {key: shape_of(value) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(map(shape_of, batch))
    return np.shape(batch), np.asarray(batch).dtype


class TestArray(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return numbers(5)


class TestArrayOfFields(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return rb.ArrayDataSource({"x": np.arange(4), "y": np.ones((4, 2))})


class TestSubset(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return numbers(5, indices=[4, 1, 3], repeats=2)


class TestItems(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return rb.ArrayDataSource(rb.ItemAccessor([{"x": row, "y": -row} for row in range(5)]))


class TestMap(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return numbers(5).map(one_more)


class TestSampleMap(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return numbers(5, indices=[4, 1, 3], repeats=2).map_samples(drawn)


class TestImageFolder(SourceTests):
    @pytest.fixture
    @classmethod
    def source(cls, photos: list[str], tmp_path: Path) -> Any:
        for number, photo in enumerate(photos[:5]):
            folder = tmp_path / "train" / ("dog", "cat")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").symlink_to(photo)
        return rb.ImageFolder(tmp_path / "train", size=8)


class TestComposite(SourceTests):
    bad = BadSample(1, "ValueError", "1 is bad", member=(1,))

    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return rb.CompositeDataSource([numbers(3), numbers(5).map_samples(drawn)])


class TestNamedComposite(SourceTests):
    bad = BadSample(1, "ValueError", "1 is bad", member=(1, 0))

    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        several = rb.CompositeDataSource([numbers(6), numbers(7)], flatten=False)
        return rb.CompositeDataSource({"labelled": numbers(9), "several": several})


class TestChoice(SourceTests):
    bad = BadSample(1, "ValueError", "1 is bad", member=(1,))

    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return rb.ChoiceDataSource([numbers(3), numbers(3, 100)])


class TestStratifiedChoice(TestChoice):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return rb.ChoiceDataSource([numbers(8), numbers(3, 100)], stratified=True)


class TestMix(TestChoice):
    @pytest.fixture
    @classmethod
    def source(cls) -> Any:
        return rb.MixDataSource([numbers(6), numbers(3, 100)], [2, 1])
