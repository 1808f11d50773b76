"""Faults of BatchUp 0.2.3 that raybatch does not have, in sources, samplers and batch maps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

from raybatch.batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    CallableDataSource,
    ChoiceBatch,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
    batch_map_mean,
    coerce_data_source,
)
from raybatch.order.indices import num_batches
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.order.weighted import WeightedSampler


def array(n: int, **kwargs: Any) -> ArrayDataSource:
    return ArrayDataSource([np.arange(n)], **kwargs)


def ends_early(n: int, promised: int) -> CallableDataSource:
    return CallableDataSource(array(n).batch_iterator, promised)


def test_the_index_iterator_of_a_composite_heeds_trim_false() -> None:
    source = CompositeDataSource([array(5), array(6)], trim=False)
    indices = list(source.batch_indices_iterator(4))
    assert [tuple(map(len, batch)) for batch in indices] == [(4, 4), (1, 2)]
    for batch, own in zip(source.batch_iterator(4), indices, strict=True):
        np.testing.assert_equal(source.samples_by_indices_nomapping(own), batch)


@pytest.mark.parametrize("stratified", [False, True])
def test_a_composite_of_choices_is_read_by_indices(stratified: bool) -> None:
    choice = ChoiceDataSource([array(5), array(7)], stratified=stratified)
    source = CompositeDataSource([choice, array(18)])
    indices = list(source.batch_indices_iterator(3))
    assert all(isinstance(batch[0], ChoiceBatch) for batch in indices)
    batches = list(source.batch_iterator(3))
    assert len(batches) > 2
    assert any(len(batch[0]) < 3 for batch in batches)
    for batch, own in zip(batches, indices, strict=True):
        np.testing.assert_equal(source.samples_by_indices_nomapping(own), batch)


@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_stratified_choice_goes_on_without_a_member_that_ends_early(shuffle: Any) -> None:
    source = ChoiceDataSource([ends_early(4, promised=8), array(6)], stratified=True)
    lengths = [len(batch[0]) for batch in source.batch_iterator(2, shuffle=shuffle)]
    assert lengths == [2] * 5


def test_a_stratified_choice_may_have_an_empty_member() -> None:
    source = ChoiceDataSource([array(4), array(0)], stratified=True)
    assert [len(batch[0]) for batch in source.batch_iterator(2)] == [2, 2]
    empty = ChoiceDataSource([array(0), array(0)], stratified=True)
    assert list(empty.batch_iterator(2)) == []


def test_batch_map_over_a_choice_takes_all_its_batches() -> None:
    """BatchUp took only as many batches as the joined samples would fill: 3 of these 4."""
    source = ChoiceDataSource([array(5), array(5)])
    (result,) = source.batch_map_concat(lambda x: x, 4) or ()
    assert sorted(result) == sorted([*range(5)] * 2)


def test_batch_map_mean_leaves_the_results_of_the_function_alone() -> None:
    kept = [np.array([1.0, 2.0]), np.array([10.0, 20.0])]
    results = iter(kept)
    mean = batch_map_mean(lambda x: next(results), array(4).batch_iterator(2))
    np.testing.assert_array_equal(mean, [[11 / 4, 22 / 4]])
    np.testing.assert_array_equal(kept, [[1.0, 2.0], [10.0, 20.0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.bool_])
@pytest.mark.parametrize("sum_axis", [None, 0])
def test_batch_map_mean_does_not_overflow(dtype: type[np.generic], sum_axis: int | None) -> None:
    value = 1 if dtype is np.bool_ else 200
    source = ArrayDataSource([np.full((600, 1), value, dtype)])
    whole_batch = source.batch_map_mean(lambda x: x[:1, 0], 2) if sum_axis is None else None
    per_sample = source.batch_map_mean(lambda x: x, 300, sum_axis=0)
    if whole_batch is not None:
        np.testing.assert_array_equal(whole_batch, [[value / 2]])
    np.testing.assert_array_equal(per_sample, [[value]])


@pytest.mark.parametrize("number", [np.float32(6), np.int64(6), np.uint8(6), np.float64(6), 6, 6.0])
def test_batch_map_mean_takes_numbers_of_any_kind(number: Any) -> None:
    assert array(4).batch_map_mean(lambda x: number, 2) == (3.0,)
    assert array(4).batch_map_mean(lambda x: (number, number), 2) == (3.0, 3.0)


SOURCES: dict[str, AbstractDataSource] = {
    "array": array(4),
    "subset": array(4, indices=[2, 1]),
    "endless": array(4, repeats=-1),
    "weighted": array(4, sampler=WeightedSampler(np.ones(4))),
    "callable": CallableDataSource(lambda batch_size, shuffle: iter([]), 4),
    "iterator": IteratorDataSource(iter([]), 4),
    "composite": CompositeDataSource([array(4), array(4, repeats=-1)]),
    "choice": ChoiceDataSource([array(4)]),
    "stratified": ChoiceDataSource([array(4)], stratified=True),
    "map": array(4).map(lambda x: (x,)),
}
EACH_SOURCE = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
BATCH_SIZES = pytest.mark.parametrize(
    ("batch_size", "error"),
    [(0, ValueError), (-3, ValueError), (2.0, TypeError), (None, TypeError)],
)


@EACH_SOURCE
@BATCH_SIZES
def test_a_wrong_batch_size_is_refused_at_the_call(
    source: AbstractDataSource, batch_size: Any, error: type[Exception]
) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: source.batch_iterator(batch_size, shuffle=np.random.RandomState(0)),
        lambda: source.num_batches(batch_size),
    ]
    if source.is_random_access:
        calls.append(lambda: source.batch_indices_iterator(batch_size, shuffle=5))
    for call in calls:
        with pytest.raises(error, match="batch_size must be"):
            call()


@BATCH_SIZES
def test_samplers_refuse_a_wrong_batch_size_at_the_call(
    batch_size: Any, error: type[Exception]
) -> None:
    for sampler in (StandardSampler(4), SubsetSampler([2, 1]), WeightedSampler([1, 2])):
        with pytest.raises(error, match="batch_size must be"):
            sampler.shuffled_indices_batch_iterator(batch_size, np.random.RandomState(0))
    for sampler in (StandardSampler(4), SubsetSampler([2, 1], repeats=-1)):
        with pytest.raises(error, match="batch_size must be"):
            sampler.in_order_indices_batch_iterator(batch_size)
    with pytest.raises(error, match="batch_size must be"):
        num_batches(4, batch_size)


@pytest.mark.parametrize("kind", [ChoiceDataSource, CompositeDataSource])
def test_a_source_without_members_is_refused(kind: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match="at least one member"):
        kind([])
    with pytest.raises(TypeError, match=r"datasets\[1\] must be a data source"):
        kind([array(3), np.arange(3)])


def test_empty_data_cannot_be_repeated_without_end() -> None:
    for make in (
        lambda: StandardSampler(0, repeats=-1),
        lambda: SubsetSampler([], repeats=-1),
        lambda: array(0, repeats=-1),
        lambda: array(5, indices=[], repeats=-1),
    ):
        with pytest.raises(ValueError, match="empty"):
            make()


@pytest.mark.parametrize("repeats", [1, 3])
def test_empty_data_has_no_batch(repeats: int) -> None:
    source = array(0, repeats=repeats)
    for shuffle in (None, 3, np.random.RandomState(0)):
        assert list(source.batch_iterator(4, shuffle=shuffle)) == []
    assert source.num_batches(4) == 0


@pytest.mark.parametrize(
    "source",
    [source for name, source in SOURCES.items() if name != "callable"],
    ids=[name for name in SOURCES if name != "callable"],
)
def test_an_unknown_keyword_argument_is_refused_at_the_call(source: AbstractDataSource) -> None:
    calls: list[Callable[..., Any]] = [
        lambda **kwargs: source.batch_iterator(2, **kwargs),
        lambda **kwargs: source.num_batches(2, **kwargs),
        source.num_samples,
        lambda **kwargs: source.batch_map_concat(lambda x: x, 2, n_batches=1, **kwargs),
        lambda **kwargs: source.batch_map_mean(lambda x: x, 2, n_batches=1, **kwargs),
    ]
    if source.is_random_access:
        calls.append(lambda **kwargs: source.batch_indices_iterator(2, **kwargs))
    for call in calls:
        with pytest.raises(TypeError, match="suffle"):
            call(suffle=True)


def test_an_iterator_is_coerced_on_new_pythons() -> None:
    """BatchUp uses `collections.Iterator`, which Python 3.10 removed."""
    assert isinstance(coerce_data_source(iter([])), IteratorDataSource)
    assert isinstance(coerce_data_source(array(3).batch_iterator), CallableDataSource)
    with pytest.raises(TypeError, match="Cannot convert"):
        coerce_data_source(None)


def test_a_weighted_source_without_shuffle_is_refused_at_the_call() -> None:
    source = array(4, sampler=WeightedSampler(np.ones(4)))
    for call in (source.batch_iterator, source.batch_indices_iterator):
        with pytest.raises(NotImplementedError, match="give a shuffle"):
            call(2)


@EACH_SOURCE
def test_making_an_iterator_draws_nothing(source: AbstractDataSource) -> None:
    """The call checks its arguments, but only the first batch draws random numbers."""
    rng = np.random.RandomState(0)
    before = rng.get_state()
    source.batch_iterator(2, shuffle=rng)
    np.testing.assert_equal(rng.get_state(), before)


def test_no_batch_is_taken_beyond_n_batches() -> None:
    taken: list[int] = []

    def batches() -> Any:
        for number in range(10):
            taken.append(number)
            yield (np.array([number]),)

    batch_map_mean(lambda x: x, islice(batches(), 10), n_batches=3)
    assert taken == [0, 1, 2]
