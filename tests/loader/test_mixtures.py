"""Mixtures by weight: shares of the members, resuming, and rows of several members in a batch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from raybatch.order.shares import MemberShares
from tests.sample_sources import Backwards, Faulty, numbers

WEIGHTS = {"a": 0.7, "b": 0.2, "c": 0.1}


def named(**lengths: int) -> dict[str, rb.ArrayDataSource]:
    """Return sources of numbers: `a` starts at 0, `b` at 1,000,000, `c` at 2,000,000, and so on."""
    starts = {name: 1_000_000 * place for place, name in enumerate("abcdef")}
    return {name: numbers(starts[name], length) for name, length in lengths.items()}


def samples(batches: Any) -> list[int]:
    return [int(number) for batch in batches for number in batch[0]]


def of_member(place: int, delivered: Sequence[int]) -> list[int]:
    return [number for number in delivered if number // 1_000_000 == place]


def fresh(source: AbstractDataSource, batch_size: int = 10, **options: Any) -> rb.Loader:
    return rb.Loader(source, batch_size, **{"shuffle": 3, **options})


def resumed(loader: rb.Loader, state: dict[str, Any]) -> rb.Loader:
    loader.load_state_dict(json.loads(json.dumps(state)))
    return loader


def test_the_shares_are_those_of_the_weights_after_every_batch() -> None:
    source = rb.MixDataSource(named(a=9_000, b=9_000, c=9_000), WEIGHTS, num_samples=10_000)
    delivered = samples(fresh(source))
    for count in range(10, 10_001, 10):
        of = np.bincount(np.array(delivered[:count]) // 1_000_000, minlength=3)
        assert of.tolist() == [7 * count // 10, 2 * count // 10, count // 10]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=9), st.integers(0, 10**12))
def test_no_count_is_far_from_its_weight_and_each_place_is_known_by_itself(
    weights: list[float], start: int
) -> None:
    shares, total = MemberShares([(0, weights)]), sum(weights)
    of = shares.members(start, start + 500)
    counts = np.array(shares.counts(start))
    for offset, member in enumerate(of):
        if offset % 100 == 0:
            assert shares.counts(start + offset) == counts.tolist()
            assert shares.place_of(member, int(counts[member])) == start + offset
        counts[member] += 1
        off = counts - np.array(weights) / total * (start + offset + 1)
        assert np.abs(off).max() < (1.0001 if len(weights) <= 3 else 1.7)


def test_many_light_members_stay_close_to_their_weights_beside_a_heavy_one() -> None:
    for weights in ([1] * 32, [50] + [1] * 50, [30, 30] + [1] * 30):
        of = MemberShares([(0, weights)]).members(0, 3000)
        counts = (of[:, None] == np.arange(len(weights))).cumsum(axis=0)
        asked = np.arange(1, 3001)[:, None] * weights / sum(weights)
        assert np.abs(counts - asked).max() < 1


def test_weights_change_at_their_place_whatever_the_batch_size() -> None:
    stages = [(0, {"a": 1, "b": 0}), (15, {"a": 0, "b": 1}), (20, {"a": 1, "b": 1})]
    source = rb.MixDataSource(named(a=50, b=50), stages)
    for size in (1, 4, 10):
        members = [number // 1_000_000 for number in samples(fresh(source, size))]
        assert members[:20] == [0] * 15 + [1] * 5
        assert sum(members[20:40]) == 10


def test_a_mixture_ends_when_it_was_told_to() -> None:
    members, weights = named(a=60, b=20, c=50), {"a": 0.5, "b": 0.3, "c": 0.2}

    def counts(**options: Any) -> list[list[int]]:
        loader = fresh(rb.MixDataSource(members, weights, **options))
        of = [samples(loader) for _ in range(2)]
        assert [len(delivered) for delivered in of] == [
            rb.MixDataSource(members, weights, **options).num_samples()
        ] * 2
        assert sorted(of[0]) != sorted(of[1])  # each epoch starts new passes over the members
        return [
            [len(of_member(place, of[0])), len(set(of_member(place, of[0])))] for place in range(3)
        ]

    first = counts()
    assert first[1] == [20, 20]  # the mixture ends when `b` is due and has no sample left
    assert all(given == distinct for given, distinct in first)
    every = counts(stop="all")
    assert [distinct for _, distinct in every] == [60, 20, 50]
    assert (every[2][0], every[1][0] > 60) == (50, True)
    assert sum(given for given, _ in counts(num_samples=333)) == 333


def test_it_ends_where_a_member_does_that_does_not_say_when() -> None:
    """A shuffled choice ends with one of its members; the shuffle decides which member."""
    choice = rb.ChoiceDataSource([numbers(1_000_000, 9), numbers(1_100_000, 7)])
    source = rb.MixDataSource([numbers(0, 200), choice], [2, 1])
    loader = fresh(source, 1)
    assert loader.num_samples is None
    whole = samples(loader)
    assert len(of_member(1, whole)) in (14, 15)
    of = source.shares.members(0, len(whole) + 1)
    assert of.tolist()[-1] == 1  # the next sample would come from the choice
    for size in (4, 50):
        assert samples(fresh(source, size)) == whole


def test_a_sample_has_other_random_numbers_each_time_and_in_each_member() -> None:
    same = numbers(0, 5)
    source = rb.MixDataSource({"a": same, "b": same}, num_samples=40)
    drawn = [
        number
        for mapped in (source, rb.MixDataSource([same, same], num_samples=40))
        for batch in fresh(mapped.map_samples(lambda x, rng: (x, rng.integers(2**60))))
        for number in batch[1].tolist()
    ]
    assert len(set(drawn)) == 80


def test_members_go_on_over_epochs_where_it_never_stops() -> None:
    source = rb.MixDataSource(named(a=70, b=30), {"a": 1, "b": 1}, stop="never")
    loader = fresh(source, batches_per_epoch=7)
    delivered = [number for _ in range(4) for number in samples(loader)]
    for place, length in ((0, 70), (1, 30)):
        own = of_member(place, delivered)
        passes = [own[start : start + length] for start in range(0, len(own) - length + 1, length)]
        assert len(passes) == 140 // length
        assert all(len(set(one)) == length for one in passes)
        assert len(set(map(tuple, passes))) == len(passes)


SHAPES: dict[str, Any] = {
    "first": {"weights": WEIGHTS},
    "all, in stages": {"weights": [(0, [1, 1, 1]), (9, [6, 3, 1])], "stop": "all"},
    "number": {"weights": WEIGHTS, "num_samples": 50},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rest_is_the_same_from_every_batch_of_two_epochs_at_other_sizes_and_ranks(
    shape: str,
) -> None:
    weighted = rb.WeightedSampler(np.arange(1, 11), 12)
    blocks = rb.BlockShuffleSampler([1, 2, 3], window=2)
    members = {
        "a": numbers(0, 20),
        "b": numbers(1_000_000, 10, sampler=weighted),
        "c": numbers(2_000_000, 6, sampler=blocks),
    }

    def epochs(state: Any, size: int, ranks: int) -> list[list[tuple[int, int]]]:
        """Return the remaining samples of three epochs on all ranks, each with a random number."""
        source = rb.MixDataSource(members, **SHAPES[shape]).map_samples(
            lambda number, rng: (number, rng.integers(2**40))
        )
        left: list[list[tuple[int, int]]] = [[], [], []]
        for rank in range(ranks):
            loader = fresh(source, size, split=rb.RankSplit(rank, ranks), last_batch="keep")
            resumed(loader, state)
            while loader.epoch < len(left):
                own = left[loader.epoch]
                own += [
                    pair
                    for batch in loader
                    for pair in zip(*map(np.ndarray.tolist, batch), strict=True)
                ]
        return left

    loader = fresh(rb.MixDataSource(members, **SHAPES[shape]), 8)
    states = [loader.state_dict(), *(loader.state_dict() for _ in range(2) for _ in loader)]
    whole = epochs(states[0], 8, 1)
    assert len(set(map(tuple, map(sorted, whole)))) == 3
    for state in states[1:]:
        left = [[], *whole[1:]] if state["epoch"] else whole.copy()
        left[state["epoch"]] = whole[state["epoch"]][8 * state["received"][0][1] :]
        assert epochs(state, 5, 1) == left
        for own, expected in zip(epochs(state, 2, 3), left, strict=True):
            assert sorted(own) == sorted(expected)


def test_members_come_and_go_and_those_that_stay_go_on() -> None:
    old = fresh(
        rb.MixDataSource(named(a=500, b=300), {"a": 3, "b": 1}, stop="never"), batches_per_epoch=30
    )
    before = samples(islice(old, 8))
    changed = rb.MixDataSource(
        {"c": numbers(2_000_000, 40), **named(a=500)}, {"a": 1, "c": 1}, stop="never"
    )
    loader = resumed(fresh(changed, 8, batches_per_epoch=30), old.state_dict())
    middle = samples(islice(loader, 5))
    assert (len(of_member(0, middle)), len(of_member(2, middle))) == (20, 20)
    back = rb.MixDataSource(named(a=500, b=300), {"a": 1, "b": 9}, stop="never")
    loader = resumed(fresh(back, 20, batches_per_epoch=100), loader.state_dict())
    after = samples(islice(loader, 20))
    plain = fresh(rb.MixDataSource(named(a=500, b=300), stop="never"), batches_per_epoch=100)
    alone = samples(plain)
    for place in (0, 1):
        own = of_member(place, before + middle + after)
        assert own == of_member(place, alone)[: len(own)]
    assert len(of_member(1, after)) == 360


def test_the_length_is_that_of_the_epoch_with_its_new_weights() -> None:
    loader = fresh(rb.MixDataSource(named(a=90, b=60), [9, 1]), 6)
    received = len(list(islice(loader, 4)))
    loader = resumed(fresh(rb.MixDataSource(named(a=90, b=60), [1, 2]), 6), loader.state_dict())
    here, after = len(loader), len(fresh(rb.MixDataSource(named(a=90, b=60), [1, 2]), 6))
    assert here != after
    assert [received + len(list(loader)), len(loader), len(list(loader))] == [here, after, after]


def test_a_state_is_refused_where_a_member_has_other_data() -> None:
    state = fresh(rb.MixDataSource(named(a=50, b=30))).state_dict()
    with pytest.raises(rb.errors.StateError, match=r"30 samples in member b, but .* 31 samples"):
        fresh(rb.MixDataSource(named(a=50, b=31))).load_state_dict(state)
    with pytest.raises(rb.errors.StateError, match="source"):
        fresh(numbers(0, 50)).load_state_dict(state)


def test_a_member_that_is_a_choice_or_only_iterates_goes_on_too() -> None:
    """Each member keeps its order of samples, whatever the batch sizes and the weights."""

    def mixture(weights: list[int]) -> rb.MixDataSource:
        choice = rb.ChoiceDataSource([numbers(1_000_000, 50), numbers(1_100_000, 50)])
        backwards = numbers(2_000_000, 23, sampler=Backwards(23))
        members = {"a": numbers(0, 70), "b": choice, "c": backwards}
        return rb.MixDataSource(members, weights, num_samples=400)

    alone = samples(fresh(mixture([2, 5, 1]), 16))
    loader = fresh(mixture([2, 1, 4]), 7)
    before = samples(islice(loader, 20))
    delivered = before + samples(resumed(fresh(mixture([1, 1, 1]), 9), loader.state_dict()))
    assert len(delivered) == 400
    for place in range(3):
        pairs = list(zip(of_member(place, delivered), of_member(place, alone), strict=False))
        assert len(pairs) > 40
        assert all(one == other for one, other in pairs)


def test_a_list_of_batches_without_end_is_refused() -> None:
    for source in (numbers(0, 9, repeats=-1), rb.MixDataSource(named(a=5), stop="never")):
        for everything in (list, tuple, sorted):
            with pytest.raises(ValueError, match=r"has no end.* batches_per_epoch="):
                everything(fresh(source))
        assert len(list(islice(fresh(source), 3))) == 3
        assert len(list(fresh(source, batches_per_epoch=2))) == 2


class Endless:
    """An array-like of 10**9 samples that take no memory."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(index)


def test_a_mixture_of_a_billion_samples_seeks_at_once_and_in_little_memory() -> None:
    members = [rb.ArrayDataSource([Endless()]) for _ in range(3)]
    source = rb.MixDataSource(members, [0.7, 0.2, 0.1], stop="never")
    loader = fresh(source, 256, batches_per_epoch=10**9)
    loader.skip(4_000_000)
    state = loader.state_dict()
    fastest = float("inf")
    for _ in range(3):
        loader = fresh(source, 256, batches_per_epoch=10**9)
        begun = time.perf_counter()
        resumed(loader, state)
        next(iter(loader))
        fastest = min(fastest, time.perf_counter() - begun)
    assert fastest < 0.05
    tracemalloc.start()
    try:
        next(iter(resumed(fresh(source, 256, batches_per_epoch=10**9), state)))
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_program_may_end_with_an_iterator_that_has_batches_left() -> None:
    program = """
import numpy as np, raybatch as rb
source = lambda: rb.ArrayDataSource([np.arange(9)])  # keeps the globals until Python ends
members = [source(), source()]
loader = rb.Loader(rb.MixDataSource(members, stop="never"), 2, shuffle=3, batches_per_epoch=5)
batches = iter(loader)
next(batches)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_small_member_may_come_any_number_of_times() -> None:
    inner = rb.MixDataSource([numbers(0, 1), numbers(1, 2)], num_samples=3)
    source = rb.MixDataSource([inner, rb.ArrayDataSource([Endless()])], stop="never")
    loader = fresh(source, 12, batches_per_epoch=10**10)
    loader.skip(10**9)
    drawn = next(iter(loader))[0]
    assert np.sort(drawn[drawn < 3]).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_row_is_of_its_member_in_every_kind_of_field() -> None:
    def member(start: int, count: int) -> rb.ArrayDataSource:
        rows = [np.arange(start, start + i % 3) for i in range(count)]
        fields = {
            "x": np.arange(start, start + count, dtype=np.float32).reshape(-1, 1),
            "boxes": rb.RaggedArray(rows, np.int64),
            "text": rb.ItemAccessor([str(start + i) for i in range(count)]),
        }
        return rb.ArrayDataSource(fields, include_indices=True)

    source = rb.MixDataSource(
        {"a": member(0, 40), "b": member(1000, 40)}, [2, 1], include_member=True
    )
    for batch in source.batch_iterator(7, shuffle=1):
        assert list(batch) == ["member", "index", "x", "boxes", "text"]
        for row, (number, index) in enumerate(zip(batch["member"], batch["index"], strict=True)):
            start = 1000 * number
            assert batch["x"][row].tolist() == [start + index]
            assert batch["boxes"][row].tolist() == list(range(start, start + index % 3))
            assert batch["text"][row] == str(start + index)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"x": np.arange(9)}, r"'x' is .*int64.* of member 'b'"),
        ({"x": np.zeros((9, 2), np.float32)}, r"'x' is .*\[.*, 2\] of member 'b'"),
        ({"y": np.zeros(9, np.float32)}, r"a batch is .*'x'.*'y'.* of member 'b'"),
    ],
)
def test_members_with_other_fields_are_an_error_that_names_them(other: Any, message: str) -> None:
    ours = rb.ArrayDataSource({"x": np.zeros(9, np.float32)})
    loader = fresh(rb.MixDataSource({"a": ours, "b": rb.ArrayDataSource(other)}), 4)
    with pytest.raises(rb.errors.BatchError, match=message):
        next(iter(loader))


@pytest.mark.parametrize("policy", ["skip", "replace"])
@pytest.mark.parametrize("last_batch", ["keep", "pad"])
def test_bad_samples_of_a_member_are_told_by_their_place(policy: str, last_batch: str) -> None:
    good = numbers(0, 30)
    bad = rb.ArrayDataSource([Faulty(1_000_000, 10, (4, 7))])
    source = rb.MixDataSource({"a": good, "b": bad}, [3, 1], stop="all")
    loader = rb.Loader(source, 9, shuffle=1, bad_samples=policy, last_batch=last_batch)
    delivered = []
    for batch in loader:
        valid = batch[-1] if last_batch == "pad" else np.ones(len(batch[0]), bool)
        assert last_batch == "keep" or len(batch[0]) == 9
        delivered += batch[0][valid].tolist()
    assert {sample.place for sample in loader.bad_samples} == {((1,), 4), ((1,), 7)}
    own = of_member(1, delivered)
    assert len(own) == (8 if policy == "skip" else 10)
    assert not {1_000_004, 1_000_007} & {*own}
    without = rb.Loader(source, 9, shuffle=1, exclude=loader.bad_samples)
    assert set(of_member(1, samples(without))) == {*range(1_000_000, 1_000_010)} - {
        1_000_004,
        1_000_007,
    }


def test_arguments_that_make_no_mixture_are_refused() -> None:
    members = named(a=5, b=5)
    empty = {**members, "c": numbers(0, 0)}
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((members, {"a": 1}), "weights are for"),
        ((members, [1, 2, 3]), "weights has 3 numbers for 2 members"),
        ((members, {"a": -1, "b": 1}), "the weight of 'a'"),
        ((members, [0, 0]), "above 0"),
        ((members, [(1, [1, 1])]), "start at 0"),
        ((members, [1, 1], "last"), "stop must be"),
        ((members, [1, 0], "all"), "never reached: the weight of member 'b'"),
        ((empty,), "'c' has no samples"),
        (({"a": rb.CompositeDataSource([*members.values()], trim=False)},), "trim=False"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            rb.MixDataSource(*arguments)
    for weights, message in [
        (0.7, "weights must be a list of numbers, not 0.7"),
        (["0.7", "0.3"], r"weights\[0\] must be a number, not '0.7'"),
        ({"a": None, "b": 1}, r"weights\[0\] must be a number, not None"),
    ]:
        with pytest.raises(TypeError, match=message):
            rb.MixDataSource(members, weights)  # type: ignore[arg-type]
    endless = rb.CallableDataSource(lambda size: iter(()), 10)
    with pytest.raises(TypeError, match="random access"):
        rb.MixDataSource([endless])


def test_a_weight_too_small_for_the_rule_is_refused() -> None:
    members = [numbers(0, 5), numbers(10, 5)]
    with pytest.raises(ValueError, match="a weight of 1e-10 beside 1 is too small"):
        rb.MixDataSource(members, weights=[1, 1e-10])
