"""Batches of one group each: their samples, and resuming with other batch sizes and ranks."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.loader.sampler_checks import check_samplers
from raybatch.order.grouped import GroupedCursor
from tests.sample_sources import Faulty

# The sizes of six groups, one of them empty. The value of each sample is its index.
COUNTS = [29, 8, 1, 0, 12, 150]
GROUPS = np.random.default_rng(0).permutation(np.repeat(np.arange(6), COUNTS))
BATCH_SIZES = [8, 6, 4, 4, 2, 8]
SHUFFLES: dict[str, Callable[[], Any]] = {
    "in order": lambda: None,
    "seed": lambda: 3,
    "RandomState": lambda: np.random.RandomState(3),
}


def source(**options: Any) -> rb.ArrayDataSource:
    sampler = rb.GroupedSampler(GROUPS, **options)
    return rb.ArrayDataSource({"n": np.arange(len(GROUPS))}, sampler=sampler)


def loader(
    batch_size: int = 8, batch_sizes: Any = None, rank: int = 0, ranks: int = 1, **options: Any
) -> rb.Loader:
    own = {"shuffle": 3, "last_batch": "keep", **options}
    data = source(batch_sizes=batch_sizes)
    return rb.Loader(data, batch_size, split=rb.RankSplit(rank, ranks), **own)


def epoch(of: rb.Loader) -> list[list[int]]:
    return [batch["n"].tolist() for batch in of]


def group_of(batch: list[int]) -> int:
    (group,) = set(GROUPS[batch].tolist())
    return int(group)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("batch_sizes", [None, BATCH_SIZES])
def test_each_sample_comes_once_in_a_batch_of_its_group(shuffle: str, batch_sizes: Any) -> None:
    of = loader(batch_sizes=batch_sizes, shuffle=SHUFFLES[shuffle]())
    sizes = batch_sizes or [8] * 6
    epochs = []
    for _ in range(2):
        length, batches = len(of), epoch(of)
        epochs.append(batches)
        assert sorted(itertools.chain(*batches)) == list(range(200))
        assert (
            len(batches)
            == length
            == sum(-(-n // size) for n, size in zip(COUNTS, sizes, strict=True))
        )
        lengths = Counter((group_of(batch), len(batch)) for batch in batches)
        wanted: Counter[tuple[int, int]] = Counter()
        for group, (count, size) in enumerate(zip(COUNTS, sizes, strict=True)):
            wanted[group, size] += count // size
            wanted[group, count % size] += count % size > 0
        assert lengths == +wanted
    assert (epochs[0] == epochs[1]) == (shuffle == "in order")


def test_samples_and_batches_are_shuffled() -> None:
    """Each sample of the largest group is equally often the first of a batch.

    Each group comes equally often at all places of the epoch.
    """
    firsts, groups = Counter[int](), np.zeros((27, 6))
    for seed in range(300):
        batches = epoch(loader(shuffle=seed))
        for place, batch in enumerate(batches):
            groups[place, group_of(batch)] += 1
            firsts[batch[0]] += 1
    of_one = np.array([firsts[int(n)] for n in np.flatnonzero(GROUPS == 5)]) / 300
    assert of_one.mean() == pytest.approx(19 / 150)
    assert np.abs(of_one - 19 / 150).max() < 5 * np.sqrt(19 / 150 / 300)
    shares = np.array([4, 1, 1, 0, 2, 19]) / 27
    assert np.abs(groups / 300 - shares).max() < 5 * np.sqrt(0.25 / 300)


@pytest.mark.parametrize(
    ("shuffle", "last_batch", "batches_per_epoch"),
    [
        ("seed", "keep", None),
        ("seed", "drop", None),
        ("seed", "pad", 9),
        ("RandomState", "drop", 9),
        ("in order", "pad", None),
    ],
)
def test_the_rest_follows_from_every_batch_of_two_epochs(
    shuffle: str, last_batch: str, batches_per_epoch: int | None
) -> None:
    def fresh(rank: int = 0, ranks: int = 1) -> rb.Loader:
        return loader(
            8 // ranks,
            [4, 3, 2, 2, 1, 4],
            rank,
            ranks,
            shuffle=SHUFFLES[shuffle](),
            last_batch=last_batch,
            batches_per_epoch=batches_per_epoch,
        )

    def rest(of: rb.Loader, ends: int = 2) -> list[Any]:
        batches = []
        while of.epoch < ends:
            batches += [{name: array.tolist() for name, array in batch.items()} for batch in of]
        return batches

    of = fresh()
    states, row, lengths = [of.state_dict()], [], []
    for _ in range(2):
        lengths.append(len(of))
        for batch in of:
            row.append({name: array.tolist() for name, array in batch.items()})
            states.append(json.loads(json.dumps(of.state_dict())))
    assert len(row) == sum(lengths)
    if last_batch == "pad":
        assert all(len(batch["n"]) == BATCH_SIZES[group_of(batch["n"])] for batch in row)
    for count, state in enumerate(states):
        resumed = fresh()
        resumed.load_state_dict(state)
        assert rest(resumed) == row[count:]
        if count % 5:
            continue
        skipping = fresh()
        skipping.skip(count)
        assert rest(skipping) == row[count:]
        parts = [fresh(rank, 2) for rank in range(2)]
        for part in parts:
            part.load_state_dict(state)
        both = [rest(part) for part in parts]
        valid = [
            [np.array(b["n"])[b.get("valid", slice(None))].tolist() for b in own] for own in both
        ]
        wanted = [np.array(b["n"])[b.get("valid", slice(None))].tolist() for b in row[count:]]
        if last_batch != "keep":
            assert len(both[0]) == len(both[1])
        assert sorted(itertools.chain(*valid[0], *valid[1])) == sorted(itertools.chain(*wanted))
        if last_batch == "pad":
            assert [a + b for a, b in zip(*valid, strict=True)] == wanted


def test_at_other_batch_sizes_the_same_samples_follow() -> None:
    for count in range(0, 27, 2):
        of = loader(8)
        seen = [n for batch in itertools.islice(of, count) for n in batch["n"].tolist()]
        for size in (3, 16, 5, 8):
            state = of.state_dict()
            of = loader(size)
            of.load_state_dict(state)
            again = loader(size)
            again.load_state_dict(json.loads(json.dumps(state)))
            left = epoch(again)
            assert all(len(set(GROUPS[batch])) == 1 for batch in left)
            assert sorted([*seen, *itertools.chain(*left)]) == list(range(200))
            assert all(len(b) == size for b in left) or len([b for b in left if len(b) < size]) <= 5
            two = [batch["n"].tolist() for batch in itertools.islice(of, 2)]
            assert two == left[:2]
            seen += itertools.chain(*two)
            if not of.batches_received:
                break


def test_ranks_have_parts_of_one_group_and_equal_sizes() -> None:
    for last_batch in ("drop", "pad"):
        parts = [epoch_of_rank(rank, last_batch) for rank in range(3)]
        for together in zip(*parts, strict=True):
            assert len({len(batch["n"]) for batch in together}) == 1
            assert len({group_of(batch["n"].tolist()) for batch in together}) == 1
    with pytest.raises(ValueError, match="too few for 3 ranks"):
        loader(8, None, 0, 3, last_batch=None)


def epoch_of_rank(rank: int, last_batch: str) -> list[Any]:
    of = loader(8, BATCH_SIZES, rank, 3, last_batch=last_batch)
    batches = list(of)
    assert len(of) == len(batches)
    return batches


def test_a_bad_sample_is_replaced_by_one_of_its_group_or_skipped() -> None:
    bad = tuple(int(np.flatnonzero(group == GROUPS)[0]) for group in (0, 1, 4, 5))
    for policy in ("replace", "skip"):
        data = rb.ArrayDataSource({"n": Faulty(0, 200, bad)}, sampler=rb.GroupedSampler(GROUPS))
        limit = rb.BadSamples(policy, limit=20)
        of = rb.Loader(data, 8, shuffle=1, bad_samples=limit)
        batches = epoch(of)
        assert all(len(set(GROUPS[batch])) == 1 for batch in batches)
        assert sorted(sample.index for sample in of.bad_samples) == sorted(bad)
        got = sorted(itertools.chain(*batches))
        assert len(got) == (200 if policy == "replace" else 196)
        assert not set(bad) & set(got)
    without = rb.Loader(data, 8, shuffle=1, exclude=np.array(bad))
    assert sorted(itertools.chain(*epoch(without))) == sorted(set(range(200)) - set(bad))


def test_numbers_of_samples_and_actors_give_the_same(actors: rb.RayActorPool) -> None:
    data = source(batch_sizes=BATCH_SIZES).map_samples(
        lambda sample, rng: {**sample, "x": rng.random()}
    )
    serial = rb.Loader(data, 8, shuffle=5)
    first, second = ([*serial], [*serial])
    drawn = [dict(zip(b["n"].tolist(), b["x"].tolist(), strict=True)) for b in first]
    with rb.Loader(data, 16, shuffle=5, pool=actors) as of:
        other = [dict(zip(b["n"].tolist(), b["x"].tolist(), strict=True)) for b in of]
    assert {n: x for b in drawn for n, x in b.items()} == {
        n: x for b in other for n, x in b.items()
    }
    with rb.Loader(data, 8, shuffle=5, pool=actors) as of:
        for wanted in (first, second):
            for batch, same in zip(of, wanted, strict=True):
                assert batch["n"].tolist() == same["n"].tolist()
                assert batch["x"].tolist() == same["x"].tolist()


def test_a_choice_of_grouped_sources_gives_all_batches() -> None:
    one = rb.ArrayDataSource([np.arange(200)], sampler=rb.GroupedSampler(GROUPS))
    other = rb.ArrayDataSource([np.arange(1000, 1040)])
    for shuffle in (None, 1):
        both = rb.Loader(rb.ChoiceDataSource([one, other], stratified=True), 8, shuffle=shuffle)
        batches = [x.tolist() for (x,) in both]
        assert sorted(itertools.chain(*batches)) == [*range(200), *range(1000, 1040)]
        assert all(batch[0] >= 1000 or len(set(GROUPS[batch])) == 1 for batch in batches)
        assert len(batches) == len(both) == len(rb.Loader(one, 8)) + 5


class Mixed(rb.data_source.AbstractDataSource):
    """A source whose batches mix the samples of several members."""

    def __init__(self, *children: Any) -> None:
        self.children = children

    def num_samples(self, **kwargs: Any) -> Any:
        return sum(child.num_samples(**kwargs) for child in self.children)


@pytest.mark.parametrize("sampler", [rb.GroupedSampler(GROUPS), rb.PKSampler(GROUPS, 2, 4)])
def test_a_source_that_mixes_its_members_refuses_groups(sampler: Any) -> None:
    grouped = rb.ArrayDataSource([np.arange(200)], sampler=sampler)
    plain = rb.ArrayDataSource([np.arange(10)])
    for bad in (Mixed(grouped, plain), rb.ChoiceDataSource([plain, Mixed(plain, grouped)])):
        with pytest.raises(ValueError, match="of a Mixed mix the samples of all its members"):
            check_samplers(bad, 8, 1, drops=False)
    check_samplers(rb.ChoiceDataSource([Mixed(plain, plain), grouped]), 8, 1, drops=False)


def test_a_part_of_the_samples() -> None:
    chosen = np.arange(0, 200, 3)
    data = source(indices=chosen)
    assert data.num_samples() == 67
    batches = [batch["n"].tolist() for batch in data.batch_iterator(8, shuffle=1)]
    assert sorted(itertools.chain(*batches)) == chosen.tolist()
    assert len(batches) == data.num_batches(8)


def test_strings_are_groups() -> None:
    names = np.array(["cat", "dog", "ant"])[GROUPS % 3]
    data = rb.ArrayDataSource([names], sampler=rb.GroupedSampler(names))
    assert all(len(set(x)) == 1 for (x,) in data.batch_iterator(8, shuffle=1))


def test_a_place_is_found_at_once() -> None:
    """The loader finds the last batch of a million samples without stepping through the others."""
    sampler = rb.GroupedSampler(np.arange(1_000_000) % 40)
    of = rb.Loader(rb.ArrayDataSource([np.arange(1_000_000)], sampler=sampler), 8, shuffle=1)
    of.skip(len(of) - 1)
    steps: list[int] = []
    step = GroupedCursor.step

    def counted(cursor: GroupedCursor, size: int) -> Any:
        steps.append(size)
        return step(cursor, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupedCursor, "step", counted)
        of.load_state_dict(of.state_dict())
        batch = next(iter(of))
    assert len(batch[0]) == 8
    assert len(steps) < 10


def test_groups_that_are_never_drawn_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    list(loader(20, last_batch="drop"))
    assert "3 of 5 groups have fewer samples than a batch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: rb.GroupedSampler([0.5]), TypeError, "integers or strings"),
        (lambda: rb.GroupedSampler([0, 3], [8, 4]), IndexError, r"indices\[1\] is 3"),
        (lambda: rb.GroupedSampler([0, -1], [8, 4]), ValueError, "groups must be 0 or more"),
        (lambda: rb.GroupedSampler([0, 1], [8, 0]), ValueError, "1 or more, not 0"),
        (
            lambda: rb.ArrayDataSource([np.arange(3)], sampler=rb.GroupedSampler([0])),
            ValueError,
            "groups has 1 number, one for",
        ),
        (lambda: loader(6, BATCH_SIZES), ValueError, "must be a multiple of 4, not 6"),
        (lambda: loader(2, BATCH_SIZES, 0, 4), ValueError, "must be a multiple of 4, not 2"),
        (
            lambda: rb.Loader(
                rb.ChoiceDataSource([source(batch_sizes=BATCH_SIZES)]),
                8,
            ),
            ValueError,
            "batches of a ChoiceDataSource have one size",
        ),
    ],
)
def test_what_cannot_be_is_an_error(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()


def test_another_sampler_refuses_the_state() -> None:
    state = loader().state_dict()
    with pytest.raises(rb.errors.StateError, match="sampler"):
        loader(batch_sizes=BATCH_SIZES).load_state_dict(state)
