"""All ranks must have the same order, and equal numbers of batches unless `last_batch` is set."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.sample_sources import delivered, numbers

UNSEEDED: dict[str, Callable[[], Any]] = {
    "True": lambda: True,
    "Generator": np.random.default_rng,
    "a bit generator": lambda: np.random.Generator(np.random.MT19937()),
    "one of several": lambda: np.random.default_rng().spawn(2)[1],
    "RandomState": np.random.RandomState,
    "np.random": lambda: np.random,
}
SEEDED: dict[str, Callable[[], Any]] = {
    "int": lambda: 5,
    "Generator": lambda: np.random.default_rng(5),
    "several numbers": lambda: np.random.default_rng([5, 6]),
    "a bit generator": lambda: np.random.Generator(np.random.Philox(key=5)),
    "one of several": lambda: np.random.default_rng(5).spawn(2)[1],
    "RandomState": lambda: np.random.RandomState(5),
    "np.random": lambda: np.random,
}


@pytest.fixture
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random.mtrand, "_rand", np.random.RandomState())


def of_ranks(world_size: int, shuffle: Callable[[], Any], samples: int = 100) -> list[rb.Loader]:
    splits = [rb.RankSplit(rank, world_size) for rank in range(world_size)]
    return [rb.Loader(numbers(0, samples), 10, shuffle=shuffle(), split=split) for split in splits]


def received(loaders: list[rb.Loader]) -> list[int]:
    return [int(i) for loader in loaders for (batch,) in loader for i in batch]


@pytest.mark.parametrize("kind", UNSEEDED)
def test_what_each_rank_would_draw_for_itself_is_refused(
    kind: str, as_in_a_new_process: None
) -> None:
    what = "True" if kind == "True" else "a generator without a seed"
    with pytest.raises(
        ValueError, match=rf"shuffle is {what}, .* int seed, .*\.split\(world_size\)"
    ):
        of_ranks(2, UNSEEDED[kind])
    assert sorted(received(of_ranks(1, UNSEEDED[kind]))) == list(range(100))


@pytest.mark.parametrize("kind", SEEDED)
def test_what_was_given_a_seed_is_the_same_on_all_ranks(
    kind: str, as_in_a_new_process: None
) -> None:
    np.random.mtrand._rand.seed(5)
    assert sorted(received(of_ranks(2, SEEDED[kind]))) == list(range(100))


@pytest.mark.parametrize("kind", UNSEEDED)
def test_loaders_that_share_what_one_drew_are_ranks(kind: str, as_in_a_new_process: None) -> None:
    loader = rb.Loader(numbers(0, 100), 10, shuffle=UNSEEDED[kind]())
    list(loader)
    parts = [pickle.loads(pickle.dumps(part)) for part in loader.split(2)]
    assert sorted(received(parts)) == list(range(100))
    parts = [pickle.loads(pickle.dumps(part)) for part in parts]
    together = [
        i for step in zip(*parts, strict=True) for batch in step for i in delivered(batch)[0]
    ]
    assert [part.epoch for part in parts] == [loader.epoch + 2] * 2
    whole = rb.Loader(numbers(0, 100), 20, shuffle=UNSEEDED["True"]())
    if kind == "True":
        whole.load_state_dict(loader.state_dict() | {"epoch": loader.epoch + 1})
        assert together == received([whole])


@pytest.mark.parametrize(("samples", "is_even"), [(39, True), (40, True), (41, False), (42, True)])
def test_unequal_numbers_of_batches_must_be_asked_for(samples: int, is_even: bool) -> None:
    """A global batch has 20 samples, but the last one has 19, 20, 1 or 2."""
    if is_even:
        counts = {len(list(loader)) for loader in of_ranks(2, lambda: 1, samples)}
        assert len(counts) == 1
        return
    with pytest.raises(ValueError, match=r'has 1 of 20 samples.*"pad".*"drop".*"keep"'):
        of_ranks(2, lambda: 1, samples)
    loader = rb.Loader(numbers(0, samples), 10, shuffle=1)
    with pytest.raises(ValueError, match=r'"pad".*"drop".*"keep"'):
        loader.split(2)
    for last_batch, counts_of in (("keep", [3, 2]), ("drop", [2, 2]), ("pad", [3, 3])):
        loader = rb.Loader(numbers(0, samples), 10, shuffle=1, last_batch=last_batch)
        assert [len(list(part)) for part in loader.split(2)] == counts_of
    assert len(rb.Loader(numbers(0, samples), 10)) == 5  # a single rank needs no agreement


def test_a_state_that_leaves_ranks_unequal_numbers_of_batches_is_refused() -> None:
    """100 samples are even steps of 20, but after 3 batches of 33 only one sample is left."""
    loader = rb.Loader(numbers(0, 100), 33, shuffle=np.random.RandomState(5))
    list(itertools.islice(loader, 3))
    rank, _ = of_ranks(2, lambda: np.random.RandomState(6))
    before = rank.state_dict()
    with pytest.raises(ValueError, match=r'has 1 of 20 samples.*"keep"'):
        rank.load_state_dict(loader.state_dict())
    assert rank.state_dict() == before
    with pytest.raises(ValueError, match=r'has 1 of 66 samples.*"keep"'):
        loader.split(2)


def test_short_batches_in_mid_epoch_are_found_when_the_loader_is_made() -> None:
    """Each member of the choice has its own last batch, which may be short."""
    for length, is_even in ((40, True), (42, True), (41, False)):
        members = [numbers(0, 40), numbers(100, length)]
        source = rb.ChoiceDataSource(members, stratified=True)
        if is_even:
            assert len({len(part) for part in rb.Loader(source, 10).split(2)}) == 1
        else:
            with pytest.raises(ValueError, match=r'has 1 of 20 samples.*"pad"'):
                rb.Loader(source, 10).split(2)


def test_ranks_of_an_endless_source_are_equal() -> None:
    parts = rb.Loader(numbers(0, 7, repeats=-1), 2, shuffle=1).split(3)
    assert [len(list(itertools.islice(part, 9))) for part in parts] == [9, 9, 9]


def test_an_epoch_whose_shuffle_makes_ranks_unequal_ends_for_all_at_the_same_batch() -> None:
    """The ranks differ only if the epoch includes the odd sample of the second member.

    The shuffle decides that, because it decides which member ends the epoch.
    """
    source = rb.ChoiceDataSource([numbers(0, 40), numbers(100, 41)])

    def parts(seed: int, last_batch: str | None) -> list[rb.Loader]:
        return rb.Loader(source, 10, shuffle=seed, last_batch=last_batch).split(2)

    def num_batches(loaders: list[rb.Loader]) -> list[int]:
        return [len(list(loader)) for loader in loaders]

    def becomes_uneven(seed: int) -> bool:
        kept = parts(seed, "keep")
        return [len(set(num_batches(kept))) for _ in range(2)] == [1, 2]

    seed = next(filter(becomes_uneven, range(100)))
    received = []
    for part in parts(seed, None):
        list(part)
        batches = []
        with pytest.raises(ValueError, match=r'has 1 of 20 samples.*"keep"'):
            for batch in part:
                batches.append(batch)  # noqa: PERF402 - those before the error count
        received.append(len(batches))
    assert received[0] == received[1] > 0


def test_train_loader_refuses_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    from raybatch.adapters import ray_train

    monkeypatch.setattr(ray_train, "rank_split", lambda: rb.RankSplit(1, 2))
    with pytest.raises(ValueError, match="shuffle is True"):
        ray_train.train_loader(numbers(0, 100), 10, shuffle=True)
    with pytest.raises(ValueError, match='"keep" lets the numbers differ'):
        ray_train.train_loader(numbers(0, 101), 10, shuffle=1)
