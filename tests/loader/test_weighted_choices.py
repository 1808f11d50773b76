"""Weighted choices: the members' shares of the batches, and members with their own samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import raybatch as rb

GROUPS = np.arange(200) % 3


def plain(start: int, count: int, repeats: int = 1) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(start, start + count)], repeats=repeats)


def of_groups() -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(200)], sampler=rb.GroupedSampler(GROUPS))


def of_draws() -> rb.ArrayDataSource:
    sampler = rb.WeightedSampler(np.arange(1, 101), num_samples=150)
    return rb.ArrayDataSource([np.arange(1000, 1100)], sampler=sampler)


def choice() -> rb.ChoiceDataSource:
    return rb.ChoiceDataSource([of_groups(), of_draws()], weights=(0.6, 0.4))


def loader(batch_size: int, rank: int = 0, ranks: int = 1) -> rb.Loader:
    split = (rank, ranks)
    return rb.Loader(choice(), batch_size, shuffle=True, seed=3, split=split, last_batch="drop")


def received(batches: Any) -> list[list[int]]:
    return [x.tolist() for (x,) in batches]


def test_each_member_has_its_share_of_the_batches() -> None:
    members = [plain(start, 100, repeats=-1) for start in (0, 100, 200)]
    mixed = rb.ChoiceDataSource(members, weights=(0.7, 0.2, 0.1))
    batches = rb.Loader(mixed, 5, shuffle=True, seed=0, batches_per_epoch=1000)
    of = np.array([x[0] // 100 for (x,) in batches])
    assert all((x // 100 == x[0] // 100).all() for (x,) in batches)
    for count in range(10, 1001, 10):
        shares = np.bincount(of[:count], minlength=3) / count
        assert np.abs(shares - (0.7, 0.2, 0.1)).max() <= 1 / count


@pytest.mark.parametrize(
    ("counts", "wanted"), [((40, 100), 17), ((100, 4), 3), ((100, 1), 3), ((4, 400), 2)]
)
def test_the_first_member_without_a_batch_ends_it(counts: tuple[int, int], wanted: int) -> None:
    mixed = rb.ChoiceDataSource([plain(0, counts[0]), plain(1000, counts[1])], weights=(3, 2))
    for shuffle in (None, 5):
        loaded = rb.Loader(mixed, 4, shuffle=shuffle)
        assert len(loaded) == len(received(loaded)) == wanted


def test_batches_of_groups_and_weighted_draws_are_mixed_shared_out_and_resumed_elsewhere() -> None:
    alone = loader(8)
    states, batches = [], []
    for _ in range(2):
        for (x,) in alone:
            batches.append(x.tolist())
            states.append(alone.state_dict())
    assert len(batches) == 2 * len(alone)
    for batch in batches:
        assert batch[0] >= 1000 or len(set(GROUPS[batch])) == 1
    for number, state in enumerate(states):
        rest: list[list[list[int]]] = [[], []]
        for rank in range(2):
            part = loader(4, rank, 2)
            part.load_state_dict(state)
            # A state saved after the last batch of an epoch still belongs to that epoch.
            for _ in range(1 if number >= len(alone) - 1 else 2):
                rest[rank] += received(part)
            if number == len(alone) - 1:
                rest[rank] += received(part)
        assert [a + b for a, b in zip(*rest, strict=True)] == batches[number + 1 :]


def test_another_batch_size_keeps_groups_and_repeats_nothing() -> None:
    started = iter(loaded := loader(8))
    seen = [next(started)[0].tolist() for _ in range(6)]
    again = loader(6)
    again.load_state_dict(loaded.state_dict())
    rest = received(again)
    grouped = [batch for batch in seen + rest if batch[0] < 1000]
    assert all(len(set(GROUPS[batch])) == 1 for batch in grouped)
    flat = [index for batch in grouped for index in batch]
    assert len(flat) == len(set(flat))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (1, 2, 3)}, "weights has 3 numbers for 2 members"),
        ({"weights": (1,)}, "weights has 1 number for 2 members"),
        ({"weights": (-1, 2)}, r"the weight of 'datasets\[0\]' must be 0 or more"),
        ({"weights": (0, 0)}, "at least one weight"),
        ({"weights": (1, 1), "stratified": True}, "takes no weights"),
    ],
)
def test_wrong_weights(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rb.ChoiceDataSource([plain(0, 10), plain(10, 10)], **options)


def test_other_weights_do_not_fit_a_state() -> None:
    members = [plain(0, 40), plain(40, 40)]
    state = rb.Loader(rb.ChoiceDataSource(members, weights=(1, 2)), 4).state_dict()
    with pytest.raises(rb.errors.StateError, match="weights"):
        rb.Loader(rb.ChoiceDataSource(members, weights=(2, 1)), 4).load_state_dict(state)
