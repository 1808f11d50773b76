"""The number of ranks and the batch size may change in the middle of an epoch.

After the change, the loaders deliver the samples that were not delivered before.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from raybatch.order.shuffle import SeededShuffle
from tests.sample_sources import SHUFFLES, all_sources, delivered, finite_sources, numbers


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(state))
    return copy


@pytest.mark.parametrize("shuffle", ["seed", "RandomState"])
@pytest.mark.parametrize("kind", finite_sources())
def test_ranks_and_batch_size_may_change_on_the_way(kind: str, shuffle: str) -> None:
    """Three runs within one epoch together deliver each sample once.

    They have 4 ranks with batch size 2, 3 ranks with 1, and 1 rank with 5.
    """
    source = finite_sources()[kind]
    got: Counter[int] = Counter()
    state = None
    for world_size, batch_size, steps in ((4, 2, 2), (3, 1, 1), (1, 5, None)):
        states = []
        for rank in range(world_size):
            split = rb.RankSplit(rank, world_size)
            loader = rb.Loader(
                source(), batch_size, shuffle=SHUFFLES[shuffle](), split=split, last_batch="keep"
            )
            if state is not None:
                loader.load_state_dict(state)
            for batch in itertools.islice(loader, steps):
                for numbers_ in delivered(batch)[: 2 if kind == "composite" else 1]:
                    got.update(numbers_)
            states.append(loader.state_dict())
        state = through_json(states[0])
    whole = rb.Loader(source(), 5)
    members = 2 if kind == "composite" else 1
    assert got == Counter(i for b in whole for part in delivered(b)[:members] for i in part)


@pytest.mark.parametrize("shuffle", ["seed", "RandomState"])
@pytest.mark.parametrize("kind", ["choice", "weighted"])
def test_what_has_no_fixed_end_goes_on_in_each_members_order(kind: str, shuffle: str) -> None:
    """Each member's samples come in the same order as in an epoch without changes.

    Three runs have 4 ranks with batch size 64, 6 ranks with 32, and 1 rank with 16.
    """

    def source() -> AbstractDataSource:
        if kind == "choice":
            return rb.ChoiceDataSource([numbers(0, 2000), numbers(10000, 1500)])
        return numbers(0, 5000, sampler=rb.WeightedSampler(np.arange(1, 5001)))

    state, got = None, []
    for world_size, batch_size, steps in ((4, 64, 3), (6, 32, 2), (1, 16, 4)):
        loaders = [
            rb.Loader(
                source(),
                batch_size,
                shuffle=SHUFFLES[shuffle](),
                split=rb.RankSplit(rank, world_size),
            )
            for rank in range(world_size)
        ]
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
        parts = [list(itertools.islice(loader, steps)) for loader in loaders]
        assert {len(part) for part in parts} == {steps}
        got += [i for step in zip(*parts, strict=True) for batch in step for i in batch[0].tolist()]
        state = through_json(loaders[-1].state_dict())
    assert state is not None
    assert state["received"] == [[256, 3], [192, 2], [16, 4]]
    assert len(got) == 3 * 256 + 2 * 192 + 4 * 16
    if kind == "choice":
        assert len(set(got)) == len(got)
    if shuffle == "seed":
        cut_once = source().order(12345)
        if kind == "weighted":
            assert got == cut_once.step(len(got)).part(0, len(got)).indices.tolist()  # type: ignore[union-attr]
        else:
            members = [numbers(0, 2000), numbers(10000, 1500)]
            for index, member in enumerate(members):
                order = member.order(SeededShuffle(12345).child(index))
                mine = [i for i in got if (i >= 10000) == bool(index)]
                expected = order.step(len(mine)).part(0, len(mine)).indices  # type: ignore[union-attr]
                assert mine == (expected + 10000 * index).tolist()


def test_an_order_that_only_iterates_says_that_it_cannot_change_its_batch_size() -> None:
    loader = rb.Loader(all_sources()["sampler that only iterates"](), 4)
    next(iter(loader))
    resumed = rb.Loader(all_sources()["sampler that only iterates"](), 5)
    resumed.load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match="cannot change to 5"):
        next(iter(resumed))
