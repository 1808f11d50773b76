"""The values that `shuffle` accepts, and the orders that seeds select."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from raybatch.batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    ChoiceDataSource,
    CompositeDataSource,
)
from raybatch.order.permutation import permutation
from raybatch.order.shuffle import SeededShuffle, as_shuffle_rng
from raybatch.order.weighted import WeightedSampler

N = 24


def numbers(repeats: int = 1) -> ArrayDataSource:
    return ArrayDataSource([np.arange(N)], repeats=repeats)


def order(source: AbstractDataSource, shuffle: Any) -> list[int]:
    """Return the values of the first array of all batches, joined into one list."""
    batches = source.batch_iterator(5, shuffle=shuffle)
    return [int(value) for batch in batches for value in batch[0]]


class FirstLast:
    """A user-defined generator whose only permutation is the reverse order."""

    def permutation(self, x: Any) -> Any:
        return (np.arange(x) if isinstance(x, int) else x)[::-1]

    def shuffle(self, x: Any) -> None:
        x[:] = x[::-1]

    def choice(self, a: Any, *, size: tuple[int, ...], p: Any) -> Any:
        return np.full(size, np.argmax(p))


@pytest.mark.parametrize("shuffle", [None, False])
def test_none_and_false_mean_in_order(shuffle: Any) -> None:
    assert order(numbers(), shuffle) == list(range(N))
    assert order(numbers(), shuffle) == order(numbers(), None)


@pytest.mark.parametrize("shuffle", [True, np.random])
def test_true_and_the_module_draw_from_the_global_generator(shuffle: Any) -> None:
    np.random.seed(6)
    expected = np.random.permutation(N).tolist()
    np.random.seed(6)
    assert order(numbers(), shuffle) == expected


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_is_drawn_from_once_a_pass(make: Callable[[int], Any]) -> None:
    reference = make(4)
    expected = [*reference.permutation(N), *reference.permutation(N)]
    reference.permutation(N)  # one more draw after the last pass, as in BatchUp
    rng = make(4)
    assert order(numbers(repeats=2), rng) == expected
    assert rng.permutation(N).tolist() == reference.permutation(N).tolist()


def test_a_generator_goes_on_where_it_stopped() -> None:
    rng = np.random.default_rng(0)
    assert order(numbers(), rng) != order(numbers(), rng)


def test_any_object_with_the_three_draws_is_a_generator() -> None:
    assert order(numbers(), FirstLast()) == list(range(N))[::-1]
    weighted = ArrayDataSource([np.arange(3)], sampler=WeightedSampler([1, 2, 1]))
    ((batch,),) = islice(weighted.batch_iterator(2, shuffle=FirstLast()), 1)
    assert batch.tolist() == [1, 1]


@pytest.mark.parametrize("seed", [0, 7, 2**80, np.int64(7), np.uint8(7)])
def test_a_seed_gives_the_same_order_each_time(seed: Any) -> None:
    first = order(numbers(), seed)
    assert sorted(first) == list(range(N)) != first
    assert order(numbers(), int(seed)) == first


def test_a_seed_touches_no_global_state() -> None:
    before = np.random.get_state(legacy=False)
    order(numbers(), 5)
    np.testing.assert_equal(np.random.get_state(legacy=False), before)


def test_an_int_is_a_seed_and_a_bool_is_not() -> None:
    assert as_shuffle_rng(0) is not None
    assert as_shuffle_rng(False) is None
    np.random.seed(1)
    assert order(numbers(), 1) != order(numbers(), True)


def test_each_pass_of_a_seed_has_an_order_of_its_own() -> None:
    drawn = order(numbers(repeats=3), 5)
    passes = [drawn[start : start + N] for start in range(0, 3 * N, N)]
    assert all(sorted(one) == list(range(N)) for one in passes)
    assert all(a != b for a, b in combinations(passes, 2))


def test_a_seed_shuffles_a_subset_and_draws_weighted_samples() -> None:
    subset = ArrayDataSource([np.arange(100)], indices=np.arange(30, 60))
    assert sorted(order(subset, 3)) == list(range(30, 60)) != order(subset, 3)
    weighted = ArrayDataSource([np.arange(3)], sampler=WeightedSampler([1, 0, 1]))
    first, second = (
        [batch[0].tolist() for batch in islice(weighted.batch_iterator(50, shuffle=3), 4)]
        for _ in range(2)
    )
    assert first == second
    assert first[0] != first[1]
    assert {value for batch in first for value in batch} == {0, 2}


def test_no_two_seeds_epochs_or_members_share_an_order() -> None:
    """With the key `seed + epoch`, seed 0 in epoch 1 and seed 1 in epoch 0 would share an order."""

    def drawn(seed: int, epoch: int, *path: int) -> tuple[int, ...]:
        rng = SeededShuffle(seed, epoch)
        for index in path:
            rng = rng.child(index)
        return tuple(rng.permutation(N)[:].tolist())

    orders = {
        drawn(seed, epoch, *path)
        for seed in range(4)
        for epoch in range(4)
        for path in ((), (0,), (1,), (0, 0), (0, 1), (1, 0))
    }
    assert len(orders) == 4 * 4 * 6


def test_a_table_of_indices_is_put_in_the_order_of_the_key() -> None:
    values = np.arange(50, 50 + N)
    expected = values[SeededShuffle(3, 2).permutation(N)[:]]
    np.testing.assert_array_equal(SeededShuffle(3, 2).permutation(values)[:], expected)
    SeededShuffle(3, 2).shuffle(values)
    np.testing.assert_array_equal(values, expected)


def test_an_epoch_of_a_seed_is_a_keyed_permutation_without_an_array() -> None:
    lazy = SeededShuffle(1).permutation(2**50)
    assert len(lazy) == 2**50
    assert type(lazy) is type(permutation(5, 1))


def test_members_of_a_composite_get_different_orders_from_a_seed() -> None:
    members: list[AbstractDataSource] = [numbers(), numbers(), numbers()]
    batches = list(CompositeDataSource(members).batch_iterator(N, shuffle=5))
    assert all(a.tolist() != b.tolist() for a, b in combinations(batches[0], 2))
    nested = CompositeDataSource([CompositeDataSource(members), numbers()])
    (batch,) = nested.batch_iterator(N, shuffle=5)
    assert all(a.tolist() != b.tolist() for a, b in combinations(batch, 2))


def test_members_of_a_choice_get_different_orders_from_a_seed() -> None:
    choice = ChoiceDataSource([numbers(), numbers()])
    first, second = (batch[0] for batch in choice.batch_iterator(N, shuffle=5))
    assert first.tolist() != second.tolist()


def test_members_share_a_generator_and_draw_from_it_in_turn() -> None:
    reference = np.random.RandomState(2)
    (batch,) = CompositeDataSource([numbers(), numbers()]).batch_iterator(
        N, shuffle=np.random.RandomState(2)
    )
    expected: list[npt.NDArray[np.int64]] = [reference.permutation(N), reference.permutation(N)]
    np.testing.assert_array_equal(batch, expected)


SOURCES: dict[str, AbstractDataSource] = {
    "array": numbers(),
    "map": numbers().map(lambda x: (x,)),
    "composite": CompositeDataSource([numbers(), numbers()]),
    "choice": ChoiceDataSource([numbers()]),
    "stratified": ChoiceDataSource([numbers()], stratified=True),
    "weighted": ArrayDataSource([np.arange(N)], sampler=WeightedSampler(np.ones(N))),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("iterator", ["batch_iterator", "batch_indices_iterator"])
@pytest.mark.parametrize(
    ("shuffle", "error"),
    [
        ("yes", TypeError),
        (1.5, TypeError),
        ([1, 2], TypeError),
        (object(), TypeError),
        (random, TypeError),
        (-1, ValueError),
        (np.int64(-3), ValueError),
        (np.random.RandomState, TypeError),  # the class itself has the three methods too
    ],
)
def test_a_wrong_shuffle_is_refused_at_the_call(
    source: AbstractDataSource, iterator: str, shuffle: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="shuffle"):
        getattr(source, iterator)(5, shuffle=shuffle)
