"""Batches of p groups with k samples each."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.sample_sources import Faulty

# Ten classes of 2 to 40 samples.
COUNTS = [2, 3, 5, 8, 10, 12, 20, 30, 37, 40]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), COUNTS))
SHUFFLES: list[Callable[[], Any]] = [lambda: 3, lambda: np.random.RandomState(3)]


def loader(
    batch_size: int = 12, rank: int = 0, ranks: int = 1, p: int = 3, **options: Any
) -> rb.Loader:
    sampler = rb.PKSampler(
        LABELS, p, 4, options.pop("num_samples", None), options.pop("indices", None)
    )
    data = rb.ArrayDataSource([np.arange(len(LABELS))], sampler=sampler)
    own = {"shuffle": 3, **options}
    return rb.Loader(data, batch_size, split=rb.RankSplit(rank, ranks), **own)


def epoch(of: rb.Loader) -> list[list[int]]:
    return [batch.tolist() for (batch,) in of]


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("p", [1, 3, 4, 10])
def test_each_batch_has_p_groups_of_k(shuffle: Callable[[], Any], p: int) -> None:
    of = loader(4 * p, p=p, shuffle=shuffle())
    epochs = [epoch(of), epoch(of)]
    assert epochs[0] != epochs[1]
    for batches in epochs:
        assert len(of) == len(batches) == 167 // (4 * p)
        for batch in batches:
            counts = Counter(LABELS[batch].tolist())
            assert set(counts.values()) == {4}
            assert len(counts) == p


def test_groups_come_equally_often_and_their_samples_in_passes() -> None:
    of = loader(40, p=10, num_samples=40 * 60)
    drawn = np.concatenate(epoch(of))
    assert np.bincount(LABELS[drawn]).tolist() == [240] * 10
    for group, count in enumerate(COUNTS):
        own = drawn[LABELS[drawn] == group]
        passes = own[: len(own) // count * count].reshape(-1, count)
        members = np.flatnonzero(group == LABELS)
        assert (np.sort(passes, axis=1) == members).all()
        assert len(np.unique(passes, axis=0)) > 1


def test_all_groups_sit_out_equally_often() -> None:
    turns = np.bincount(LABELS[np.concatenate(epoch(loader(12, num_samples=12 * 900)))]) / 4
    assert turns.sum() == 2700
    assert np.abs(turns - 270).max() < 5 * np.sqrt(300 * 0.1 * 0.9)


def test_the_order_of_groups_is_random() -> None:
    """All pairs of groups share a batch equally often, and all groups come first equally often."""
    together = np.zeros((10, 10))
    firsts = Counter[int]()
    for seed in range(150):
        for batch in epoch(loader(shuffle=seed)):
            groups = LABELS[batch][::4]
            firsts[int(groups[0])] += 1
            together[np.ix_(groups, groups)] += 1
    share = together[~np.eye(10, dtype=bool)] / (150 * 13)
    assert np.abs(share - 6 / 90).max() < 5 * np.sqrt(6 / 90 / (150 * 13))
    assert max(firsts.values()) - min(firsts.values()) < 100


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("batches_per_epoch", [None, 5])
def test_the_rest_follows_at_any_batch_size_and_on_ranks(
    shuffle: Callable[[], Any], batches_per_epoch: int | None
) -> None:
    def fresh(batch_size: int = 12, rank: int = 0, ranks: int = 1) -> rb.Loader:
        return loader(
            batch_size,
            rank,
            ranks,
            shuffle=shuffle(),
            batches_per_epoch=batches_per_epoch,
            last_batch="drop",
        )

    def rest(of: rb.Loader) -> list[list[int]]:
        batches = []
        while of.epoch < 2:
            batches += epoch(of)
        return batches

    of = fresh()
    states, row = [of.state_dict()], []
    for _ in range(2):
        for (batch,) in of:
            row.append(batch.tolist())
            states.append(json.loads(json.dumps(of.state_dict())))
    for count, state in enumerate(states):
        resumed = fresh()
        resumed.load_state_dict(state)
        assert rest(resumed) == row[count:]
        if batches_per_epoch is None and count < 13:
            parts = [fresh(12, rank, 2) for rank in range(2)]
            for part in parts:
                part.load_state_dict(state)
            both = [epoch(part) for part in parts]
            wanted = row[count:13]
            assert [*itertools.chain(*zip(*both, strict=True))] == wanted[: len(wanted) // 2 * 2]


def test_a_bad_sample_is_replaced_by_one_of_its_group() -> None:
    bad = tuple(int(np.flatnonzero(group == LABELS)[0]) for group in (3, 9))
    data = rb.ArrayDataSource([Faulty(0, 167, bad)], sampler=rb.PKSampler(LABELS, 10, 4))
    of = rb.Loader(data, 40, shuffle=1, bad_samples=rb.BadSamples("replace", limit=100))
    for (batch,) in of:
        assert np.bincount(LABELS[batch]).tolist() == [4] * 10
        assert not set(bad) & set(batch.tolist())
    without = rb.Loader(data, 40, shuffle=1, exclude=np.array(bad))
    assert all(np.bincount(LABELS[batch]).tolist() == [4] * 10 for (batch,) in without)


def test_a_sample_that_comes_again_has_other_numbers() -> None:
    data = rb.ArrayDataSource([np.arange(167)], sampler=rb.PKSampler(LABELS, 10, 4))
    drawn = data.map_samples(lambda n, rng: (n, rng.random()))
    numbers, draws = zip(*rb.Loader(drawn, 40, shuffle=1), strict=True)
    assert len(set(np.concatenate(numbers).tolist())) < 160
    assert len(set(np.concatenate(draws).tolist())) == 160


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: loader(16),
            ValueError,
            "batch_size must be p \\* k = 3 \\* 4 = 12, or a multiple of it, not 16",
        ),
        (lambda: loader(44, p=11), ValueError, "p is 11, but only 10 groups have samples"),
        (
            lambda: loader(indices=np.flatnonzero(LABELS < 2)),
            ValueError,
            "only 2 groups have samples",
        ),
        (lambda: rb.PKSampler(LABELS, 0, 4), ValueError, "p must be"),
        (lambda: loader(shuffle=None), NotImplementedError, "give a shuffle"),
    ],
)
def test_what_cannot_be_is_an_error(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()
