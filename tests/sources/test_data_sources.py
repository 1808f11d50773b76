"""Each kind of source on its own."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from raybatch.batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    CallableDataSource,
    ChoiceBatch,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
    MapDataSource,
    batch_nbytes,
)
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.order.weighted import WeightedSampler

X = np.arange(14).reshape(7, 2)
Y = np.arange(7) * 10
SUBSET = np.array([6, 1, 3])


def array(n: int, start: int = 0, repeats: int = 1) -> ArrayDataSource:
    return ArrayDataSource([np.arange(start, start + n)], repeats=repeats)


def from_function(n: int, known: Any = None) -> CallableDataSource:
    def batches(batch_size: int, shuffle: Any = None) -> Iterator[tuple[Any, ...]]:
        for first in range(0, n, batch_size):
            yield (np.arange(first, min(first + batch_size, n)),)

    return CallableDataSource(batches, known)


def as_lists(batches: Any, count: int = 50) -> list[Any]:
    """Return at most `count` batches, with lists instead of arrays."""

    def plain(value: Any) -> Any:
        return tuple(map(plain, value)) if isinstance(value, tuple) else np.asarray(value).tolist()

    return [plain(batch) for batch in islice(batches, count)]


class Squares:
    """A user-defined array-like."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: Any) -> npt.NDArray[np.int64]:
        return np.asarray(index) ** 2


def test_a_batch_holds_the_same_rows_of_every_array() -> None:
    source = ArrayDataSource([X, Y, Squares()])
    batches = list(source.batch_iterator(3, shuffle=np.random.RandomState(0)))
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert [len(batch[0]) for batch in batches] == [3, 3, 1]
    for x, y, squares in batches:
        np.testing.assert_array_equal(x[:, 0] * 5, y)
        np.testing.assert_array_equal((y // 10) ** 2, squares)


def test_absolute_indices_come_first_when_asked_for() -> None:
    source = ArrayDataSource([Y], indices=SUBSET, include_indices=True)
    assert as_lists(source.batch_iterator(2)) == [([6, 1], [60, 10]), ([3], [30])]
    assert as_lists([source.samples_by_indices(np.array([2, 0]))]) == [([3, 6], [30, 60])]
    assert as_lists([source.samples_by_indices_nomapping(slice(1, 6, 2))]) == [
        ([1, 3, 5], [10, 30, 50])
    ]
    assert as_lists([source.samples_by_indices_nomapping(slice(-2, None))]) == [([5, 6], [50, 60])]


def test_samples_by_indices_counts_within_the_subset() -> None:
    source = ArrayDataSource([Y], indices=SUBSET)
    assert as_lists([source.samples_by_indices(np.array([0, 2]))]) == [([60, 30],)]
    assert as_lists([source.samples_by_indices(slice(0, 2))]) == [([60, 10],)]
    assert as_lists([source.samples_by_indices_nomapping(np.array([0, 2]))]) == [([0, 20],)]


def test_a_sampler_takes_the_place_of_indices_and_repeats() -> None:
    source = ArrayDataSource([Y], sampler=SubsetSampler(SUBSET, repeats=2))
    assert as_lists(source.batch_iterator(4)) == [([60, 10, 30, 60],), ([10, 30],)]
    assert source.num_samples() == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": X}, TypeError, "must be a list"),
        ({"data": (X, Y)}, TypeError, "must be a list"),
        ({"data": []}, ValueError, "at least one"),
        ({"data": [X, Y[:5]]}, ValueError, r"the first has length 7, while data\[1\] has length 5"),
        ({"data": [X], "repeats": 0}, ValueError, "repeats"),
        ({"data": [X], "repeats": -2}, ValueError, "repeats"),
        ({"data": [X], "repeats": 2, "sampler": StandardSampler(7)}, ValueError, "repeats"),
        ({"data": [X], "indices": SUBSET, "sampler": StandardSampler(7)}, ValueError, "indices"),
        ({"data": [X], "sampler": SUBSET}, TypeError, "sampler must be a sampler of raybatch, not"),
        ({"data": [X], "sampler": StandardSampler}, TypeError, "not the class StandardSampler"),
        ({"data": [X], "sampler": StandardSampler(8)}, IndexError, "8"),
        ({"data": [X], "indices": [0, 7]}, IndexError, "7"),
    ],
)
def test_wrong_arguments_of_an_array_source(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ArrayDataSource(**arguments)


def test_a_callable_source_passes_its_arguments_on() -> None:
    calls: list[tuple[int, dict[str, Any]]] = []

    def batches(batch_size: int, **kwargs: Any) -> Iterator[tuple[Any, ...]]:
        calls.append((batch_size, kwargs))
        return iter([(X,)])

    source = CallableDataSource(batches, lambda **kwargs: kwargs["n"])
    assert not source.is_random_access
    assert len(list(source.batch_iterator(4, shuffle=None, n=1))) == 1
    assert calls == [(4, {"shuffle": None, "n": 1})]
    assert source.num_samples(n=12) == 12
    assert source.num_batches(5, n=12) == 3


@pytest.mark.parametrize("known", [None, 5, np.int64(5), np.inf])
def test_the_number_of_samples_may_be_unknown_or_infinite(known: Any) -> None:
    assert from_function(5, known).num_samples() == known
    assert IteratorDataSource(iter([]), known).num_samples() == known


def test_wrong_arguments_of_callable_and_iterator_sources() -> None:
    with pytest.raises(TypeError, match="num_samples_fn should be None"):
        from_function(5, "many")
    with pytest.raises(TypeError, match="n_samples should be None"):
        IteratorDataSource(iter([]), "many")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 or more"):
        IteratorDataSource(iter([]), -1)
    with pytest.raises(TypeError, match="must be callable"):
        CallableDataSource([1, 2])  # type: ignore[arg-type]


def test_an_iterator_source_gives_its_batches_once_whatever_the_batch_size() -> None:
    source = IteratorDataSource(from_function(5).batch_iterator(3), 5)
    assert as_lists(source.batch_iterator(2, shuffle=np.random.RandomState(0))) == [
        ([0, 1, 2],),
        ([3, 4],),
    ]
    assert as_lists(source.batch_iterator(2)) == []


def test_a_composite_ends_with_its_shortest_member_and_trims_to_it() -> None:
    source = CompositeDataSource([array(10, repeats=-1), ArrayDataSource([X, Y])])
    assert source.num_samples() == 7
    assert source.num_batches(3) == 3
    last = ([6], [[12, 13]], [60])
    assert as_lists(source.batch_iterator(3))[-1] == last
    assert (
        as_lists(map(source.samples_by_indices_nomapping, source.batch_indices_iterator(3)))[-1]
        == last
    )


def test_a_composite_keeps_the_structure_when_not_flattened() -> None:
    inner = CompositeDataSource([array(3), array(3, 10)], flatten=False)
    source = CompositeDataSource([inner, array(3, 20)], flatten=False)
    assert as_lists(source.batch_iterator(3)) == [
        ((([0, 1, 2],), ([10, 11, 12],)), ([20, 21, 22],))
    ]
    assert as_lists(source.batch_indices_iterator(3)) == [(([0, 1, 2], [0, 1, 2]), [0, 1, 2])]


def test_a_composite_refuses_indices_for_another_number_of_members() -> None:
    source = CompositeDataSource([array(3), array(3)])
    for method in (source.samples_by_indices, source.samples_by_indices_nomapping):
        with pytest.raises(ValueError, match="indices has 1 items, self has 2"):
            method((np.arange(2),))


def test_members_of_a_choice_take_turns_until_one_ends() -> None:
    source = ChoiceDataSource([array(6), array(3, 10), array(6, 20)])
    expected = [([0, 1],), ([10, 11],), ([20, 21],), ([2, 3],), ([12],), ([22, 23],), ([4, 5],)]
    assert as_lists(source.batch_iterator(2)) == expected
    assert source.num_batches(2) == len(expected)
    assert source.num_samples() == 15
    indices = list(source.batch_indices_iterator(2))
    assert all(isinstance(batch, ChoiceBatch) for batch in indices)
    assert [batch.ds_index for batch in indices] == [0, 1, 2, 0, 1, 2, 0]
    assert as_lists(map(source.samples_by_indices_nomapping, indices)) == expected


def test_shuffled_members_of_a_choice_come_once_a_round() -> None:
    source = ChoiceDataSource([array(8), array(8), array(8)])
    rng = np.random.RandomState(1)
    turns = [batch.ds_index for batch in source.batch_indices_iterator(2, shuffle=rng)]
    rounds = [turns[start : start + 3] for start in range(0, 12, 3)]
    assert len(turns) == 12 == source.num_batches(2, shuffle=rng)
    assert all(sorted(one) == [0, 1, 2] for one in rounds)
    assert len(set(map(tuple, rounds))) > 1


def test_a_stratified_choice_spreads_all_batches_evenly() -> None:
    source = ChoiceDataSource([array(8), array(4), array(2)], stratified=True)
    turns = [batch.ds_index for batch in source.batch_indices_iterator(1)]
    assert turns == [0, 1, 2, 0, 0, 1, 0, 0, 1, 2, 0, 0, 1, 0]
    rng = np.random.RandomState(0)
    shuffled = [batch.ds_index for batch in source.batch_indices_iterator(1, shuffle=rng)]
    assert sorted(shuffled) == sorted(turns)
    assert shuffled != turns
    assert source.num_batches(3) == 3 + 2 + 1


def test_a_stratified_choice_with_an_endless_member_takes_turns() -> None:
    source = ChoiceDataSource([array(3, repeats=-1), array(2, 10)], stratified=True)
    assert as_lists(source.batch_iterator(1)) == [([0],), ([10],), ([1],), ([11],), ([2],)]
    assert source.num_samples() == np.inf
    assert source.num_batches(1) == 5


def test_a_stratified_choice_must_know_the_size_of_its_members() -> None:
    source = ChoiceDataSource([array(3), from_function(3)], stratified=True)
    with pytest.raises(ValueError, match=r"datasets\[1\], a CallableDataSource"):
        source.batch_iterator(2)


def test_a_choice_refuses_indices_that_are_no_choice_batch() -> None:
    source = ChoiceDataSource([array(3)])
    for method in (source.samples_by_indices, source.samples_by_indices_nomapping):
        with pytest.raises(TypeError, match="should be a ChoiceBatch"):
            method((np.arange(2), 0))
    subset = ChoiceDataSource([ArrayDataSource([Y], indices=SUBSET)])
    assert as_lists([subset.samples_by_indices(ChoiceBatch(np.array([1]), 0))]) == [([10],)]


def test_the_number_of_batches_is_none_where_chance_decides() -> None:
    source = ChoiceDataSource([array(3), array(9)])
    assert source.num_batches(2, shuffle=np.random) is None
    assert source.num_batches(2) == 4
    assert CompositeDataSource([array(3), from_function(3)]).num_samples() is None
    assert ChoiceDataSource([array(3), from_function(3)]).num_samples() == 3
    assert ChoiceDataSource([array(3), from_function(3)]).num_batches(2) is None


def test_a_map_applies_its_function_to_every_batch_however_it_is_made() -> None:
    source = ArrayDataSource([X, Y]).map(lambda x, y: (x.sum(axis=1), -y))
    assert isinstance(source, MapDataSource)
    assert source.is_random_access
    assert source.num_samples() == 7
    assert source.num_batches(4) == 2
    expected = [([1, 5, 9, 13], [0, -10, -20, -30]), ([17, 21, 25], [-40, -50, -60])]
    assert as_lists(source.batch_iterator(4)) == expected
    indices = list(source.batch_indices_iterator(4))
    assert as_lists(map(source.samples_by_indices_nomapping, indices)) == expected
    assert as_lists(map(source.samples_by_indices, indices)) == expected
    with pytest.raises(TypeError, match="fn must be callable"):
        ArrayDataSource([X]).map(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="source must be a data source"):
        MapDataSource([X], len)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source",
    [
        from_function(3),
        from_function(3).map(lambda *batch: batch),
        IteratorDataSource(iter([])),
        CompositeDataSource([array(3), from_function(3)]),
        ChoiceDataSource([array(3), from_function(3)]),
    ],
    ids=lambda source: type(source).__name__,
)
def test_a_source_without_random_access_says_so(source: AbstractDataSource) -> None:
    assert not source.is_random_access
    for call in (
        lambda: source.batch_indices_iterator(2),
        lambda: source.samples_by_indices(np.arange(2)),
        lambda: source.samples_by_indices_nomapping(np.arange(2)),
    ):
        with pytest.raises(TypeError, match="random access"):
            call()


def test_a_pickled_source_with_weights_or_without_end_gives_the_same_batches() -> None:
    weighted = ArrayDataSource([Y], sampler=WeightedSampler(Y))
    source = CompositeDataSource([array(7, repeats=-1), weighted])
    copy = pickle.loads(pickle.dumps(source))
    batches, copies = (as_lists(one.batch_iterator(4, shuffle=7), 10) for one in (source, copy))
    assert batches == copies


def test_the_bytes_of_a_batch_are_counted_through_its_structure() -> None:
    assert batch_nbytes((X, ([Y, Y], np.zeros(3, np.uint8)))) == X.nbytes + 2 * Y.nbytes + 3


@pytest.mark.parametrize("data", [[[1, 2, 3]], [(1, 2)], [{1, 2}], [np.arange(2), [0, 1]]])
def test_what_takes_no_index_arrays_is_refused_where_it_is_given(data: list[Any]) -> None:
    with pytest.raises(TypeError, match=r"data\[\d\] must be an array"):
        ArrayDataSource(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            [{"im": 1, "y": 2}, {"im": 3, "y": 4}],
            r"data\[0\] is a single dict.*rb\.ItemAccessor\(samples\)",
        ),
        ({"a": {"x": X}}, r"data\['a'\] is a single dict"),
        ({"a": range(7)}, r"range'>\. Convert a list of numbers"),
        ({"a": "abcdefg"}, r"str'>\. Convert a list of numbers"),
        ({"a": [[1, 2], [3]]}, r"unequal lengths with rb\.RaggedArray"),
    ],
)
def test_what_is_no_field_is_refused_with_what_would_be(data: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ArrayDataSource(data)


def test_columns_of_arrow_are_fields() -> None:
    lists = pa.chunked_array([[[1.0], [2.0, 3.0]], [[]]])
    source = ArrayDataSource({"a": pa.array([1, 2, 3]), "b": lists, "s": pa.array(["x", "y", "z"])})
    batch = next(source.batch_iterator(2))
    assert batch["a"].tolist() == [1, 2]
    assert [row.tolist() for row in batch["b"]] == [[1], [2, 3]]
    assert batch["s"] == ["x", "y"]
    with pytest.raises(ValueError, match=r"data\['a'\] has 1 nulls"):
        ArrayDataSource({"a": pa.array([1, None])})
