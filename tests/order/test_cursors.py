"""Cursors: a jump leads to the same place in an order as single steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from raybatch.order.cursor import Cursor
from raybatch.order.permutation import KeyedPermutation
from raybatch.order.rows import Rows
from raybatch.order.seeds import seed_of
from raybatch.order.shuffle import SeededShuffle
from tests.sample_sources import SHUFFLES, Backwards, all_sources, numbers

MOST = 60  # the number of samples to compare, since some sources have no end


class Mine(AbstractDataSource):
    """A user-defined source for BatchUp, which has only an iterator over indices."""

    def num_samples(self, **kwargs: Any) -> int:
        return 23

    def batch_indices_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Any]:
        return numbers(0, 23).batch_indices_iterator(batch_size, **kwargs)


def kinds() -> dict[str, Callable[[], AbstractDataSource]]:
    weights = np.arange(1, 24)
    subset = rb.WeightedSubsetSampler(weights, np.arange(0, 46, 2))
    blocks = rb.BlockShuffleSampler([5, 1, 0, 7, 3, 0, 6, 1], window=3, repeats=2)

    def few() -> AbstractDataSource:
        return numbers(100, 9)

    def more() -> AbstractDataSource:
        return numbers(200, 14, repeats=2)

    return {
        **all_sources(),
        "subset, repeated": lambda: numbers(0, 9, indices=[7, 1, 4, 2], repeats=3),
        "without end": lambda: numbers(0, 7, repeats=-1),
        "subset without end": lambda: numbers(0, 9, indices=[7, 1, 4], repeats=-1),
        "empty": lambda: numbers(0, 0, repeats=2),
        "weighted": lambda: numbers(0, 23, sampler=rb.WeightedSampler(weights)),
        "weighted subset": lambda: numbers(0, 46, sampler=subset),
        "blocks": lambda: numbers(0, 23, sampler=blocks),
        "blocks without some": lambda: numbers(0, 23, sampler=blocks, exclude=np.arange(3, 20, 4)),
        "untrimmed": lambda: rb.CompositeDataSource([few(), more()], trim=False),
        "nested": lambda: rb.CompositeDataSource(
            [more(), rb.CompositeDataSource([few(), numbers(0, 5, repeats=-1)], trim=False)]
        ),
        "choice without end": lambda: rb.ChoiceDataSource(
            [numbers(0, 5, repeats=-1), numbers(100, 3, repeats=-1)]
        ),
        "stratified, a member ends early": lambda: rb.ChoiceDataSource(
            [rb.ChoiceDataSource([more(), few()]), numbers(300, 11)], stratified=True
        ),
        "stratified, one of choices": lambda: rb.ChoiceDataSource(
            [
                rb.CompositeDataSource([rb.ChoiceDataSource([more(), few()]), numbers(300, 50)]),
                numbers(400, 12),
            ],
            stratified=True,
        ),
        "mixture up to the first end": lambda: rb.MixDataSource([more(), few()], [2, 1]),
        "mixture without end": lambda: rb.MixDataSource([few(), more()], [0.1, 0.9], stop="never"),
        "mixture of others": lambda: rb.MixDataSource(
            [
                rb.MixDataSource([few(), more()]),
                rb.ChoiceDataSource([numbers(300, 5), numbers(400, 12)]),
                rb.CompositeDataSource([numbers(500, 7), numbers(600, 8)]),
            ],
            [3, 2, 1],
            num_samples=70,
        ),
        "source that only iterates": Mine,
    }


ITERATES = {"sampler that only iterates", "source that only iterates"}
PROGRAMS = [
    (kind, shuffle)
    for kind in kinds()
    for shuffle in SHUFFLES
    if not (kind.startswith("weighted") and shuffle == "in order")
]


def cursor(kind: str, shuffle: str) -> Cursor:
    return kinds()[kind]().order(SHUFFLES[shuffle]())


def lists(rows: Rows) -> list[Any]:
    """Return, for each row, the leaves that it reads and its index in each of them."""
    found: dict[int, list[Any]] = {}
    for row, place in rows.places():
        found.setdefault(row, []).append(place)
    return [found[row] for row in range(len(found))]


def positions(rows: Rows) -> Any:
    """Return, for each leaf, the places of its rows in the order of the leaf."""
    return [part.places_at(np.arange(len(part.indices))).tolist() for part in rows.parts]


def most(size: int) -> int:
    """Return how many runs of `size` samples to compare at most."""
    return MOST // size + 3


def rest(cursor: Cursor, size: int, count: int | None = None) -> list[tuple[Any, Any]]:
    """Return the indices and positions of the remaining runs, at most `count` of them."""
    runs = islice(iter(lambda: cursor.step(size), None), most(size) if count is None else count)
    whole = [run.part(0, len(run)) for run in runs]
    return [(lists(rows), positions(rows)) for rows in whole]


@pytest.mark.parametrize(("kind", "shuffle"), PROGRAMS)
def test_a_jump_leads_where_steps_lead(kind: str, shuffle: str) -> None:
    """After some steps and two jumps to a place, the same runs are left as after steps alone."""
    for size in (1, 4, 50):
        whole = rest(cursor(kind, shuffle), size)
        for there in sorted({0, 1, 2, 3, len(whole) // 2, len(whole) - 1, len(whole)}):
            if not 0 <= there <= len(whole) or there == most(size):
                continue
            for stepped in {0, 1, there // 2, there}:
                if stepped > there:
                    continue
                jumped = cursor(kind, shuffle)
                for _ in range(stepped):
                    jumped.step(size)
                jumped.skip(size, (there - stepped) // 2)
                jumped.skip(size, there - stepped - (there - stepped) // 2)
                # Ask for one more run. There must be none, unless the order has no end.
                left = rest(jumped, size, min(len(whole) - there + 1, most(size) - there))
                assert left == whole[there:]


@pytest.mark.parametrize(
    ("kind", "shuffle"), [(kind, shuffle) for kind, shuffle in PROGRAMS if kind not in ITERATES]
)
@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=4), st.integers(1, 9))
def test_the_size_may_change_on_the_way(
    kind: str, shuffle: str, parts: list[tuple[int, int]], size: int
) -> None:
    jumped, stepped = cursor(kind, shuffle), cursor(kind, shuffle)
    for part_size, steps in parts:
        for _ in range(steps):
            if stepped.step(part_size) is None:
                return
        jumped.skip(part_size, steps)
    assert rest(jumped, size) == rest(stepped, size)


@pytest.mark.parametrize(("kind", "shuffle"), PROGRAMS)
def test_a_part_is_the_slice_of_its_run(kind: str, shuffle: str) -> None:
    start_of = cursor(kind, shuffle)
    while (run := start_of.step(5)) is not None and start_of.position < MOST:
        whole = run.part(0, len(run))
        for start in range(len(run) + 1):
            for stop in range(start, len(run) + 1):
                assert lists(run.part(start, stop)) == lists(whole)[start:stop]


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("kind", ["array", "subset, repeated", "without end", "trimmed"])
def test_the_position_counts_the_samples_before(kind: str, shuffle: str) -> None:
    if kind == "trimmed":
        source: AbstractDataSource = rb.CompositeDataSource([numbers(0, 23), numbers(0, 9)])
        place: Callable[[int], Any] = lambda count: [[count], [count]]  # noqa: E731
    else:
        source, place = kinds()[kind](), lambda count: [[count]]
    for jump in (0, 1, 2):
        order = source.order(SHUFFLES[shuffle]())
        order.skip(4, jump)
        passed = 4 * jump
        for _ in range(4):
            assert order.position == passed
            if (run := order.step(4)) is None:
                break
            assert [positions(run.part(i, i + 1)) for i in range(len(run))] == [
                place(passed + i) for i in range(len(run))
            ]
            passed += len(run)


@pytest.mark.parametrize("shuffle", ["in order", "seed"])
def test_a_jump_and_steps_count_alike_up_to_the_very_end(shuffle: str) -> None:
    for kind in ("array", "repeated", "trimmed", "untrimmed", "nested", "choice", "stratified"):
        stepped, steps = cursor(kind, shuffle), 0
        while stepped.step(4) is not None:
            steps += 1
            jumped = cursor(kind, shuffle)
            jumped.skip(4, steps)
            assert (kind, jumped.position) == (kind, stepped.position)


def test_the_places_of_a_choice_are_those_of_its_members() -> None:
    order = cursor("choice", "in order")
    runs = [order.step(4) for _ in range(4)]
    assert [run and [part[::2] for part in run.part(1, 2).parts] for run in runs] == [
        [((0,), 1)],
        [((1,), 1)],
        [((0,), 5)],
        [((1,), 5)],
    ]


@pytest.mark.parametrize(
    ("kind", "permutations"),
    [
        ("without end", 1),
        ("subset without end", 1),
        ("weighted", 0),
        ("weighted subset", 0),
        ("choice without end", 2),
    ],
)
def test_a_jump_of_any_length_draws_no_more_than_a_step(
    kind: str, permutations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = cursor(kind, "seed")
    calls: list[str] = []

    def counted(owner: type, method: str) -> None:
        original: Any = getattr(owner, method)

        def call(self: Any, *args: Any) -> Any:
            calls.append(method)
            assert len(calls) < 1000, "steps all the way"
            return original(self, *args)

        monkeypatch.setattr(owner, method, call)

    counted(KeyedPermutation, "__init__")
    counted(SeededShuffle, "uniforms")
    for cursor_type in Cursor.__subclasses__():
        counted(cursor_type, "step")
    # An odd number of turns of two members ends within a round, so the order of that round must
    # be drawn.
    order.skip(8, 125_000_001)
    assert calls.count("__init__") <= permutations + 1
    assert not {"step", "uniforms"} & set(calls)
    assert order.position == 1_000_000_008


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_nothing_is_drawn_before_the_first_step(shuffle: str) -> None:
    rng = SHUFFLES[shuffle]()
    before = seed_of(rng)  # for a generator, a digest of its state
    numbers(0, 9).batch_indices_iterator(4, shuffle=rng)
    numbers(0, 9).order(rng).skip(4, 0)
    assert seed_of(rng) == before


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_what_only_iterates_keeps_its_size_and_says_so(shuffle: str) -> None:
    for source in (numbers(0, 23, sampler=Backwards(23)), Mine()):
        order = source.order(SHUFFLES[shuffle]())
        order.skip(4, 2)
        assert order.position == 8
        with pytest.raises(ValueError, match="batches of 4 samples and cannot change to 5"):
            order.step(5)
        assert [len(run) for run in iter(lambda: order.step(4), None)] == [4, 4, 4, 3]  # noqa: B023


def test_the_last_word_of_a_subclass_counts() -> None:
    class Reversed(rb.StandardSampler):
        def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Any]:
            yield np.arange(self.length)[::-1]

    class Straight(Reversed):
        def cursor(self, shuffle_rng: Any) -> Any:
            return rb.StandardSampler(self.length).cursor(shuffle_rng)

    assert [i.tolist() for i in numbers(0, 3, sampler=Reversed(3)).batch_indices_iterator(9)] == [
        [2, 1, 0]
    ]
    assert [i.tolist() for i in numbers(0, 3, sampler=Straight(3)).batch_indices_iterator(9)] == [
        [0, 1, 2]
    ]


@pytest.mark.parametrize("weights", [None, [1, 2]])
@pytest.mark.parametrize("shuffle", [None, 3])
def test_a_choice_that_has_ended_gives_nothing_more(shuffle: Any, weights: Any) -> None:
    choice = rb.ChoiceDataSource([numbers(0, 9), numbers(100, 40)], weights=weights)
    whole = [run.part(0, 1) for run in iter(partial(choice.order(shuffle).step, 1), None)]
    order = choice.order(shuffle)
    assert [order.step(1) is None for _ in range(60)] == [
        number >= len(whole) for number in range(60)
    ]
    outer = rb.Loader(rb.ChoiceDataSource([choice], stratified=True), 1, shuffle=shuffle)
    assert len(outer) == len(list(outer))


def test_a_stratified_choice_of_large_members_begins_at_once() -> None:
    source = rb.ChoiceDataSource([numbers(0, 300_000), numbers(300_000, 100_000)], stratified=True)
    order, begun = source.order(), time.perf_counter()
    first = [order.step(1).part(0, 1).by_child() for _ in range(8)]  # type: ignore[union-attr]
    assert time.perf_counter() - begun < 1
    assert [list(own) for own in first] == [[0], [1], [0], [0], [0], [1], [0], [0]]


@pytest.mark.parametrize("shuffle", [None, 3, "RandomState"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 50])
def test_a_stratified_choice_of_choices_gives_every_sample_as_its_length_says(
    size: int, shuffle: Any
) -> None:
    def rng() -> Any:
        return np.random.RandomState(3) if shuffle == "RandomState" else shuffle

    inner = rb.ChoiceDataSource([numbers(0, 23), numbers(100, 9)], stratified=True)
    joined = rb.CompositeDataSource([inner.map(lambda x: (x,))])
    source = rb.ChoiceDataSource([joined, numbers(200, 11)], stratified=True)
    expected = sorted([*range(23), *range(100, 109), *range(200, 211)])
    loader = rb.Loader(source, size, shuffle=rng())
    for batches in (source.batch_iterator(size, shuffle=rng()), loader):
        got = list(batches)
        assert sorted(int(i) for (batch,) in got for i in batch) == expected
        assert len(got) == len(rb.Loader(source, size, shuffle=rng()))
