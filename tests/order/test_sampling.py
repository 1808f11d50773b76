"""Samplers, and the indices that they put into each batch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.indices import num_batches
from raybatch.order.sampler import AbstractSampler
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.order.weighted import WeightedSampler, WeightedSubsetSampler

SUBSET = np.array([4, 9, 2])


def as_lists(batches: Any, count: int = 100) -> list[list[int]]:
    return [batch.tolist() for batch in islice(batches, count)]


@pytest.mark.parametrize(
    ("n", "batch_size", "expected"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2)]
)
def test_num_batches_counts_a_short_last_one(n: int, batch_size: int, expected: int) -> None:
    assert num_batches(n, batch_size) == expected


@pytest.mark.parametrize("batch_size", [0, -1])
def test_num_batches_of_a_size_below_1_is_an_error(batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size must be 1 or more, not {batch_size}"):
        num_batches(3, batch_size)


@pytest.mark.parametrize("batch_size", [1.0, "3", None, True])
def test_a_batch_size_that_is_no_integer_is_a_type_error(batch_size: Any) -> None:
    with pytest.raises(TypeError, match="batch_size must be an integer"):
        num_batches(3, batch_size)


def test_a_numpy_integer_is_a_batch_size() -> None:
    sampler = StandardSampler(5)
    assert as_lists(sampler.in_order_indices_batch_iterator(np.int32(3))) == [[0, 1, 2], [3, 4]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("repeats", "batch_size", "expected"),
    [
        (1, 2, [[0, 1], [2]]),
        (1, 3, [[0, 1, 2]]),
        (1, 7, [[0, 1, 2]]),
        (2, 2, [[0, 1], [2, 0], [1, 2]]),
        (2, 3, [[0, 1, 2], [0, 1, 2]]),
        (2, 4, [[0, 1, 2, 0], [1, 2]]),
        (3, 7, [[0, 1, 2, 0, 1, 2, 0], [1, 2]]),
        (3, 20, [[0, 1, 2, 0, 1, 2, 0, 1, 2]]),
    ],
)
def test_batches_wrap_from_one_pass_into_the_next(
    repeats: int, batch_size: int, expected: list[list[int]]
) -> None:
    standard = StandardSampler(3, repeats=repeats)
    assert as_lists(standard.in_order_indices_batch_iterator(batch_size)) == expected
    subset = SubsetSampler(SUBSET, repeats=repeats)
    assert as_lists(subset.in_order_indices_batch_iterator(batch_size)) == [
        SUBSET[batch].tolist() for batch in expected
    ]


def test_passes_without_end_go_on() -> None:
    batches = StandardSampler(3, repeats=-1).in_order_indices_batch_iterator(2)
    assert np.concatenate(list(islice(batches, 300))).tolist() == [0, 1, 2] * 200


@pytest.mark.parametrize(
    "make", [lambda r: StandardSampler(3, r), lambda r: SubsetSampler(SUBSET, r)]
)
def test_each_shuffled_pass_is_one_permutation_drawn_when_it_is_due(
    make: Callable[[int], AbstractSampler],
) -> None:
    population: Any = make(1).map_indices(np.arange(3))
    drawn, reference = np.random.RandomState(3), np.random.RandomState(3)
    batches = make(-1).shuffled_indices_batch_iterator(2, drawn)
    np.testing.assert_equal(drawn.get_state(), reference.get_state())
    first = reference.permutation(population)
    np.testing.assert_array_equal(next(batches), first[:2])
    np.testing.assert_equal(drawn.get_state(), reference.get_state())
    second = reference.permutation(population)
    np.testing.assert_array_equal(next(batches), [first[2], second[0]])
    np.testing.assert_equal(drawn.get_state(), reference.get_state())


def test_the_number_of_indices_is_known() -> None:
    assert StandardSampler(3, repeats=4).num_indices_generated() == 12
    assert SubsetSampler(SUBSET, repeats=2).num_indices_generated() == 6
    assert StandardSampler(3, repeats=-1).num_indices_generated() == np.inf
    assert SubsetSampler(SUBSET, repeats=-1).num_indices_generated() == np.inf
    assert WeightedSampler(np.ones(3)).num_indices_generated() == np.inf
    assert WeightedSubsetSampler(np.ones(3), SUBSET).num_indices_generated() == np.inf
    assert WeightedSampler(np.ones(3), num_samples=5).num_indices_generated() == 5


def test_positions_map_to_absolute_indices() -> None:
    positions = np.array([2, 0])
    assert StandardSampler(3).map_indices(positions) is positions
    for sampler in (SubsetSampler(SUBSET), WeightedSubsetSampler(np.ones(3), SUBSET)):
        assert sampler.map_indices(positions).tolist() == [2, 4]
        assert sampler.map_indices(slice(1, None)).tolist() == [9, 2]
        assert sampler.map_indices(1) == 9


def test_a_subset_may_be_a_list_and_may_be_empty() -> None:
    assert as_lists(SubsetSampler([5, 1]).in_order_indices_batch_iterator(4)) == [[5, 1]]
    empty = SubsetSampler([])
    assert as_lists(empty.in_order_indices_batch_iterator(4)) == []
    assert as_lists(empty.shuffled_indices_batch_iterator(4, np.random.RandomState(0))) == []


@pytest.mark.parametrize("repeats", [0, -2])
def test_a_number_of_repeats_that_makes_no_pass_is_an_error(repeats: int) -> None:
    with pytest.raises(ValueError, match=f"repeats must be .* not {repeats}"):
        StandardSampler(3, repeats=repeats)
    with pytest.raises(ValueError, match=f"repeats must be .* not {repeats}"):
        SubsetSampler(SUBSET, repeats=repeats)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StandardSampler(-1), ValueError, "length must be 0 or more, not -1"),
        (lambda: StandardSampler(3.0), TypeError, r"length must be an integer, not 3\.0"),  # type: ignore[arg-type]
        (lambda: StandardSampler(3, 1.5), TypeError, r"repeats must be an integer, not 1\.5"),  # type: ignore[arg-type]
        (lambda: SubsetSampler([0.5]), TypeError, "integers, not float64"),
        (lambda: SubsetSampler([True, False]), TypeError, "integers, not bool"),
        (lambda: SubsetSampler([[1]]), ValueError, "1 dimension, not 2"),
        (lambda: WeightedSampler(np.zeros(3)), ValueError, "weights should not sum to 0"),
        (lambda: WeightedSampler([1.0, -1.0, 2.0]), ValueError, r"weights\[1\] is -1.0, but"),
        (lambda: WeightedSampler([np.nan, -1.0]), ValueError, r"weights\[0\] is nan, but must be"),
        (lambda: WeightedSampler(["1", "2"]), TypeError, r"weights\[0\] must be a number, not"),
        (lambda: WeightedSampler({0: 1.0}), TypeError, "weights must be a list of numbers"),  # type: ignore[arg-type]
        (lambda: WeightedSampler([[1.0]]), ValueError, "weights must have 1 dimension, not 2"),
        (lambda: WeightedSubsetSampler([1.0], [1, 2]), ValueError, "same length; 1 != 2"),
        (lambda: WeightedSubsetSampler([0.0], [1]), ValueError, "sub_weights should not sum to 0"),
    ],
)
def test_wrong_arguments_are_refused_when_the_sampler_is_made(
    make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "sampler",
    [
        StandardSampler(11),
        SubsetSampler([0, 10]),
        SubsetSampler([-11]),
        WeightedSampler(np.ones(11)),
        WeightedSubsetSampler(np.ones(1), [10]),
    ],
)
def test_a_sampler_of_more_than_the_data_set_holds_is_an_index_error(
    sampler: AbstractSampler,
) -> None:
    sampler.check_length(11)
    with pytest.raises(IndexError, match="10"):
        sampler.check_length(10)


@pytest.mark.parametrize(
    "sampler", [StandardSampler(9), WeightedSampler(np.ones(9)), BlockShuffleSampler([4, 5])]
)
def test_a_sampler_that_would_never_draw_the_last_samples_is_refused_where_it_is_given(
    sampler: AbstractSampler,
) -> None:
    rb.ArrayDataSource([np.arange(9)], sampler=sampler)
    with pytest.raises(ValueError, match="the last 2 would never be drawn"):
        rb.ArrayDataSource([np.arange(11)], sampler=sampler)


@pytest.mark.parametrize(
    "sampler", [WeightedSampler(np.ones(3)), WeightedSubsetSampler(np.ones(3), SUBSET)]
)
def test_a_weighted_sampler_has_no_order_of_its_own(sampler: AbstractSampler) -> None:
    with pytest.raises(NotImplementedError, match="in order"):
        sampler.in_order_indices_batch_iterator(2)


@pytest.mark.parametrize(
    ("sampler", "frequencies"),
    [
        (WeightedSampler([1, 0, 3]), {0: 0.25, 2: 0.75}),
        (WeightedSubsetSampler(np.array([1, 0, 3]), SUBSET), {4: 0.25, 2: 0.75}),
    ],
)
def test_samples_come_as_often_as_their_weights_say(
    sampler: AbstractSampler, frequencies: dict[int, float]
) -> None:
    batches = sampler.shuffled_indices_batch_iterator(1000, np.random.RandomState(1))
    values, counts = np.unique(np.concatenate(list(islice(batches, 10))), return_counts=True)
    expected = [frequencies[int(value)] for value in values]
    assert len(values) == len(frequencies)
    np.testing.assert_allclose(counts / 10_000, expected, atol=0.02)


def test_class_balancing_gives_each_class_the_same_weight() -> None:
    y = np.array([0, 3, 3, 0, 3, 1, 3])
    weights = WeightedSampler.class_balancing_sample_weights(y)
    np.testing.assert_allclose(np.bincount(y, weights), [1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(WeightedSampler.class_balancing_sampler(y).weights, weights)
    subset = WeightedSubsetSampler.class_balancing_sampler(y, np.array([0, 1, 2]))
    np.testing.assert_allclose(subset.sub_weights, [0.5, 0.25, 0.25])


def test_classes_may_be_strings_bools_and_columns_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    names = ["cat", "owl", "owl", "cat", "owl", "dog", "owl"]
    expected = WeightedSampler.class_balancing_sample_weights(np.array([0, 2, 2, 0, 2, 1, 2]))
    series = pandas.Series(names, index=range(7, 0, -1))
    columns = [series, series.astype("category"), pandas.Categorical(names), series.to_numpy()]
    for y in [names, np.array(names), np.array(names, object), *columns]:
        np.testing.assert_array_equal(WeightedSampler.class_balancing_sampler(y).weights, expected)
        subset = WeightedSubsetSampler.class_balancing_sampler(y, [0, 1, 2], num_samples=9)
        np.testing.assert_allclose(subset.sub_weights, [0.5, 0.25, 0.25])
        assert subset.num_samples == 9
    weights = WeightedSampler.class_balancing_sample_weights([True, False, True])
    assert weights.tolist() == [0.25, 0.5, 0.25]


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([[1, 2]], ValueError, "y must have 1 dimension, not 2"),
        ([0.5, 1.0], TypeError, "integers or strings, not float64"),
        (np.array(["a", None]), ValueError, r"y\[1\] is None"),
        (np.array(["a", "b", np.nan], object), ValueError, r"y\[2\] is nan"),
    ],
)
def test_what_are_no_classes_is_refused(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WeightedSampler.class_balancing_sampler(y)


def test_an_epoch_of_draws_ends_and_the_next_draws_anew() -> None:
    y = np.array([0] * 90 + [1] * 10)
    sampler = WeightedSampler.class_balancing_sampler(y, num_samples=500)
    source = rb.ArrayDataSource([np.arange(100), y], sampler=sampler)
    loader = rb.Loader(source, 8, shuffle=0)
    assert len(loader) == 63
    epochs = []
    for _ in range(3):
        batches = list(loader)
        assert [len(x) for x, _ in batches] == [8] * 62 + [4]
        assert abs(sum(labels.sum() for _, labels in batches) - 250) < 60
        epochs.append([index for x, _ in batches for index in x.tolist()])
    assert len(set(map(tuple, epochs))) == 3
    parts = rb.Loader(source, 4, shuffle=0, last_batch="drop").split(2)
    steps = zip(*parts, strict=True)
    assert [i for step in steps for x, _ in step for i in x.tolist()] == epochs[0][:496]
    assert sampler.without(np.array([3])).num_samples == 500


def test_what_has_no_end_says_how_to_give_it_one() -> None:
    source = rb.ArrayDataSource([np.arange(3)], sampler=WeightedSampler(np.ones(3)))
    with pytest.raises(TypeError, match=r"does not stop: .*batches_per_epoch= .* num_samples="):
        len(rb.Loader(source, 2, shuffle=0))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="num_samples must be 1 or more"):
            WeightedSampler(np.ones(3), num_samples=wrong)


@pytest.mark.parametrize("method", ["in_order", "shuffled"])
@pytest.mark.parametrize(
    "make", [lambda: StandardSampler(3), lambda: SubsetSampler(SUBSET, repeats=2)]
)
def test_samplers_give_the_same_batches_after_pickling(
    make: Callable[[], AbstractSampler], method: str
) -> None:
    def batches(sampler: AbstractSampler) -> list[list[int]]:
        if method == "in_order":
            return as_lists(sampler.in_order_indices_batch_iterator(2))
        rng = np.random.RandomState(0)
        return as_lists(sampler.shuffled_indices_batch_iterator(2, rng))

    sampler = make()
    assert batches(pickle.loads(pickle.dumps(sampler))) == batches(sampler)


def test_the_abstract_sampler_says_what_is_missing() -> None:
    class Mine(AbstractSampler):
        pass

    for call in (
        Mine().num_indices_generated,
        lambda: Mine().in_order_indices_batch_iterator(2),
        lambda: Mine().shuffled_indices_batch_iterator(2, np.random.RandomState(0)),
    ):
        with pytest.raises(NotImplementedError, match="Mine"):
            call()


def test_samples_counted_from_the_end_are_excluded_too() -> None:
    data = [np.arange(10)]
    subset = rb.ArrayDataSource(data, indices=[-1, 0], exclude=[9])
    assert [x.tolist() for (x,) in subset.batch_iterator(4)] == [[0]]
    weighted = rb.sampling.WeightedSubsetSampler([1, 1], [-1, 0], 6)
    source = rb.ArrayDataSource(data, sampler=weighted, exclude=[9])
    assert [x.tolist() for (x,) in source.batch_iterator(6, shuffle=1)] == [[0] * 6]
