"""Orders of `BlockShuffleSampler`, which mixes the samples of a few blocks at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import raybatch as rb
from raybatch.order.quality import shuffle_quality
from raybatch.order.rows import Rows
from raybatch.sources.ledger import BadSample

BLOCKS = [5, 1, 0, 7, 3, 0, 6, 1, 9000, 2]
STARTS = np.cumsum([0, *BLOCKS])


def order(sampler: rb.BlockShuffleSampler, seed: int, epoch: int = 0) -> npt.NDArray[Any]:
    """Return the whole order of one epoch."""
    return drawn(sampler, rb.sampling.SeededShuffle(seed, epoch))


def drawn(sampler: rb.BlockShuffleSampler, rng: Any) -> npt.NDArray[Any]:
    return np.concatenate(list(sampler.shuffled_indices_batch_iterator(64, rng)))


@pytest.mark.parametrize("window", [1, 2, 3, 10, 99])
@pytest.mark.parametrize("shuffle", [lambda: 3, lambda: np.random.RandomState(3)])
def test_each_sample_comes_once_and_a_window_touches_few_blocks(
    window: int, shuffle: Callable[[], Any]
) -> None:
    sampler = rb.BlockShuffleSampler(BLOCKS, window, repeats=2)
    source = rb.ArrayDataSource([np.arange(STARTS[-1])], sampler=sampler)
    both = np.concatenate([x for (x,) in source.batch_iterator(17, shuffle=shuffle())])
    for indices in np.split(both, 2):
        np.testing.assert_array_equal(np.sort(indices), np.arange(STARTS[-1]))
        blocks = np.searchsorted(STARTS, indices, side="right") - 1
        full = list(dict.fromkeys(blocks.tolist()))
        first_and_last = [np.flatnonzero(blocks == block)[[0, -1]] for block in full]
        for place in range(0, len(indices), 7):
            open_blocks = sum(first <= place <= last for first, last in first_and_last)
            assert open_blocks <= window
    first_pass, second_pass = np.split(both, 2)
    assert not np.array_equal(first_pass, second_pass)


def test_samples_of_a_window_are_mixed() -> None:
    sampler = rb.BlockShuffleSampler([100] * 20, window=4)
    blocks = order(sampler, 0).reshape(5, 400) // 100
    for window in blocks:
        counts = np.bincount(window[:200], minlength=20)
        assert (counts > 0).sum() == 4
        assert counts[counts > 0].min() > 30  # about 50 are expected
    assert len(np.unique(blocks)) == 20


@pytest.mark.parametrize(
    ("blocks", "window"),
    [([20] * 30, 1), ([20] * 30, 4), ([20] * 30, 30), ([2, 40, 0, 7, 90, 11, 30] * 6, 3)],
)
def test_the_quality_is_that_of_the_orders_that_are_drawn(blocks: list[int], window: int) -> None:
    block_of = np.repeat(np.arange(len(blocks)), blocks)
    sampler = rb.BlockShuffleSampler(blocks, window)
    expected, same, apart = sampler.quality(), [], []
    for seed in range(40):
        drawn_from = block_of[order(sampler, seed)]
        same.append(np.mean(drawn_from[1:] == drawn_from[:-1]))
        first, second = np.triu_indices(len(drawn_from), 1)
        of_one_block = drawn_from[first] == drawn_from[second]
        apart.append(np.mean((second - first)[of_one_block]) / np.mean(second - first))
    np.testing.assert_allclose(expected.same_block, np.mean(same), rtol=0.1)
    np.testing.assert_allclose(expected.spread, np.mean(apart), rtol=0.1)
    if window == len(blocks):
        assert expected.same_block == pytest.approx(expected.same_block_if_full)
        assert expected.spread == pytest.approx(1.0)


def test_the_quality_of_odd_blocks() -> None:
    assert shuffle_quality([1, 1, 0], 1) == shuffle_quality([], 4) == (0.0, 0.0, 1.0)
    assert shuffle_quality([7], 1) == (1.0, 1.0, 1.0)
    assert rb.BlockShuffleSampler([4, 4], 1, indices=[0, 1, 4]).quality() == shuffle_quality(
        [2, 1], 1
    )


def test_epochs_seeds_and_members_have_orders_of_their_own() -> None:
    sampler = rb.BlockShuffleSampler([10] * 10, window=3)
    orders = [order(sampler, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    members = [drawn(sampler, rb.sampling.SeededShuffle(0, 0, path)) for path in ((0,), (1,))]
    for number, one in enumerate(all_of := [*orders, *members]):
        assert not any(np.array_equal(one, other) for other in all_of[:number])
    np.testing.assert_array_equal(order(sampler, 0), orders[0])


def test_the_order_of_a_seed_stays_what_it_is() -> None:
    """A change of this order would break every saved state."""
    golden = [1, 0, 2, 8, 6, 7, 3, 5, 4]
    assert order(rb.BlockShuffleSampler([3, 2, 0, 4], window=2), 12345).tolist() == golden


def test_a_loader_goes_on_from_any_batch() -> None:
    def loader(batch_size: int) -> rb.Loader:
        sampler = rb.BlockShuffleSampler(BLOCKS[:8], window=2, repeats=2)
        source = rb.ArrayDataSource([np.arange(23)], sampler=sampler)
        return rb.Loader(source, batch_size, shuffle=5)

    whole = [x.tolist() for (x,) in loader(4)]
    flat = [number for batch in whole for number in batch]
    for steps in range(len(whole)):
        left = loader(4)
        batches = iter(left)
        for _ in range(steps):
            next(batches)
        state = json.loads(json.dumps(left.state_dict()))
        for size in (1, 4, 5, 50):
            resumed = loader(size)
            resumed.load_state_dict(state)
            assert [n for (x,) in resumed for n in x.tolist()] == flat[4 * steps :]


def test_samples_can_be_left_out_and_replaced() -> None:
    sampler = rb.BlockShuffleSampler(BLOCKS[:8], window=2)
    gone = np.array([0, 5, 6, 22])
    less = rb.ArrayDataSource([np.arange(23)], sampler=sampler, exclude=gone)
    got = np.concatenate([x for (x,) in less.batch_iterator(4, shuffle=1)])
    np.testing.assert_array_equal(np.sort(got), np.setdiff1d(np.arange(23), gone))
    np.testing.assert_array_equal(
        np.concatenate(list(less.batch_indices_iterator(4))), np.setdiff1d(np.arange(23), gone)
    )
    again = less.without([BadSample(1, "", ""), BadSample(22, "", "")])
    assert again.num_samples() == 18
    assert {
        less.draw(Rows.of([0]), np.random.default_rng(n)).indices.item() for n in range(300)
    } == set(got.tolist())
    (rows,) = less.samples_by_indices(np.array([0, -1]))
    assert rows.tolist() == [1, 21]
    subset = rb.BlockShuffleSampler([4, 4], indices=[7, -8, 7, 2])
    assert sorted(order(subset, 0).tolist()) == [0, 2, 7]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([3, -1],), ValueError, "0 or more, not -1"),
        (([0.5],), TypeError, "integers"),
        (([[3]],), ValueError, "1 dimension"),
        (([3], 0), ValueError, "window must be 1 or more blocks, not 0"),
        (([3], 1, 0), ValueError, "repeats"),
        (([0, 0], 1, -1), ValueError, "empty"),
        (([], 1, -1), ValueError, "empty"),
        (([3], 1, 1, [3]), IndexError, "out of range for 3 samples"),
    ],
)
def test_wrong_blocks_are_named(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rb.BlockShuffleSampler(*arguments)


def test_blocks_are_those_of_the_data() -> None:
    with pytest.raises(IndexError, match="the blocks hold 8 samples, but the data set has 7"):
        rb.ArrayDataSource([np.arange(7)], sampler=rb.BlockShuffleSampler([4, 4]))
    assert [x.tolist() for x in rb.BlockShuffleSampler([]).in_order_indices_batch_iterator(3)] == []
