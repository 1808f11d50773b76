"""Saved states: a loader resumes after any batch, with any batch size, ranks and pool."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource
from tests.sample_sources import PROGRAMS, SHUFFLES, all_sources, delivered, numbers

EPOCHS = 2


def rest_of(loader: rb.Loader) -> list[Any]:
    """Return the remaining batches of the first `EPOCHS` epochs, each with its epoch number."""
    rest = []
    while loader.epoch < EPOCHS:
        epoch = loader.epoch
        rest += [(epoch, delivered(batch)) for batch in loader]
    return rest


@pytest.mark.parametrize("shuffle", [None, 3])
@pytest.mark.parametrize("inner", ["ends early", "trimmed"])
def test_a_stratified_choice_goes_on_when_a_member_has_fewer_batches_than_samples(
    inner: str, shuffle: Any
) -> None:
    def fresh() -> rb.Loader:
        member: AbstractDataSource = rb.ChoiceDataSource([numbers(0, 23), numbers(100, 5)])
        if inner == "trimmed":
            member = rb.CompositeDataSource([member, numbers(300, 40)])
        source = rb.ChoiceDataSource([member, numbers(200, 11)], stratified=True)
        return rb.Loader(source, 4, shuffle=shuffle)

    whole, loader = [delivered(batch) for batch in fresh()], fresh()
    for count, _ in enumerate(loader, start=1):
        resumed = fresh()
        resumed.load_state_dict(through_json(loader.state_dict()))
        assert [delivered(batch) for batch in resumed] == whole[count:]


def test_a_state_stays_small_however_often_an_epoch_is_resumed() -> None:
    state = rb.Loader(numbers(0, 7, repeats=-1), 5, shuffle=1).state_dict()
    for _ in range(100):
        loader = rb.Loader(numbers(0, 7, repeats=-1), 5, shuffle=1)
        loader.load_state_dict(state)
        next(iter(loader))
        state = through_json(loader.state_dict())
    assert state["received"] == [[5, 100]]


def test_a_state_between_epochs_begins_the_next() -> None:
    loader = rb.Loader(numbers(0, 20), 5, shuffle=3)
    list(loader)
    resumed = rb.Loader(numbers(0, 20), 5, shuffle=3)
    resumed.load_state_dict(through_json(loader.state_dict()))
    assert (resumed.epoch, resumed.state_dict()["received"]) == (1, [])
    assert [delivered(batch) for batch in resumed] == [delivered(batch) for batch in loader]


def test_the_length_is_that_of_the_adopted_seed() -> None:
    def choice() -> rb.Loader:
        members: list[AbstractDataSource] = [numbers(100 * i, n) for i, n in enumerate([40, 23, 5])]
        return rb.Loader(rb.ChoiceDataSource(members), 4, shuffle=True)

    for _ in range(20):  # most seeds lead to other lengths
        resumed = choice()
        len(resumed)
        resumed.load_state_dict(choice().state_dict())
        assert len(resumed) == len(list(resumed))


def test_a_refused_state_changes_nothing() -> None:
    for other in (numbers(0, 21), numbers(0, 20)):
        loader = rb.Loader(numbers(0, 20), 5, shuffle=3)
        batches = iter(loader)
        next(batches)
        before = loader.state_dict()
        with pytest.raises(rb.errors.StateError):
            loader.load_state_dict(rb.Loader(other, 5, shuffle=4).state_dict())
        assert loader.state_dict() == before
        assert len(list(batches)) == 3


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(state))
    return copy


@pytest.mark.parametrize(("kind", "shuffle"), PROGRAMS)
def test_the_rest_follows_from_every_batch_of_two_epochs(kind: str, shuffle: str) -> None:
    def fresh() -> rb.Loader:
        return rb.Loader(all_sources()[kind](), 4, shuffle=SHUFFLES[shuffle]())

    loader = fresh()
    states, batches = [loader.state_dict()], []
    while loader.epoch < EPOCHS:
        epoch = loader.epoch
        for batch in loader:
            batches.append((epoch, delivered(batch)))
            states.append(through_json(loader.state_dict()))
    for count, state in enumerate(states):
        if isinstance(state["shuffle"], int | None):
            assert len(json.dumps(state)) < 1000
        resumed = fresh()
        resumed.load_state_dict(state)
        assert rest_of(resumed) == batches[count:]


def test_it_counts_what_was_received_and_not_what_was_made_ahead() -> None:
    with rb.ThreadPool(2) as pool:
        loader = rb.Loader(numbers(0, 100), 5, shuffle=1, pool=pool, prefetch=rb.Prefetch(15))
        batches = iter(loader)
        head = [delivered(next(batches)) for _ in range(3)]
        state = loader.state_dict()
        resumed = rb.Loader(numbers(0, 100), 5, shuffle=1)
        resumed.load_state_dict(state)
        whole = [delivered(batch) for batch in rb.Loader(numbers(0, 100), 5, shuffle=1)]
        assert head + [delivered(batch) for batch in resumed] == whole


def test_after_break_it_tells_what_was_received_and_the_next_epoch_follows() -> None:
    loader, plain = (rb.Loader(numbers(0, 100), 5, shuffle=1) for _ in range(2))
    whole = [[delivered(batch) for batch in plain] for _ in range(2)]
    assert [delivered(batch) for batch in itertools.islice(loader, 3)] == whole[0][:3]
    state = loader.state_dict()
    assert (state["epoch"], state["received"], loader.epoch) == (0, [[5, 3]], 1)
    assert [delivered(batch) for batch in itertools.islice(loader, 3)] == whole[1][:3]
    loader.load_state_dict(state)
    assert [delivered(batch) for batch in loader] == whole[0][3:]


def test_states_of_the_first_version_go_on() -> None:
    saved = {
        "version": 1,
        "epoch": 1,
        "received": [[5, 2], [3, 1]],
        "shuffle": 3,
        "samples": 20,
        "source": "ArrayDataSource",
        "sampler": "StandardSampler(length=20, repeats=1)",
    }
    resumed = rb.Loader(numbers(0, 20), 7, shuffle=3)
    resumed.load_state_dict(saved)
    assert resumed.state_dict() == saved
    assert [delivered(batch)[0] for batch in resumed] == [[4, 5, 15, 12, 6, 19, 11]]


def test_after_load_only_the_first_iteration_begins_in_the_middle() -> None:
    loader = rb.Loader(numbers(0, 20), 5)
    next(iter(loader))
    resumed = rb.Loader(numbers(0, 20), 5)
    resumed.load_state_dict(loader.state_dict())
    assert delivered(next(iter(resumed))) == [[5, 6, 7, 8, 9]]
    assert len(list(resumed)) == 4
    assert resumed.epoch == 2


def test_setting_the_epoch_that_it_is_at_keeps_the_place() -> None:
    loader = rb.Loader(numbers(0, 20), 5)
    next(iter(loader))
    resumed = rb.Loader(numbers(0, 20), 5)
    resumed.load_state_dict(loader.state_dict())
    resumed.set_epoch(0)
    assert delivered(next(iter(resumed))) == [[5, 6, 7, 8, 9]]
    for epoch in (0, 1):
        resumed.set_epoch(epoch)
        assert (resumed.epoch, resumed.state_dict()["received"]) == (epoch, [])
    assert delivered(next(iter(resumed))) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("shuffle", [None, 3])
def test_an_order_without_end_goes_on_at_once_however_far_it_is(shuffle: Any) -> None:
    source = numbers(0, 7, repeats=-1)
    state = rb.Loader(source, 5, shuffle=shuffle).state_dict()
    resumed = rb.Loader(source, 5, shuffle=shuffle)
    resumed.load_state_dict(state | {"received": [[5, 10**12]]})
    batches = iter(resumed)
    passes = [next(batches)[0] for _ in range(14)]
    # After 5 * 10**12 samples, the current pass has 2 samples left. Skip these, and compare whole
    # passes.
    together = np.concatenate(passes)[(-5 * 10**12) % 7 :]
    whole = together[: len(together) // 7 * 7].reshape(-1, 7)
    assert (np.sort(whole, axis=1) == np.arange(7)).all()


def test_loading_ends_the_iteration_that_is_under_way() -> None:
    loader = rb.Loader(numbers(0, 20), 5)
    start = loader.state_dict()
    batches = iter(loader)
    next(batches)
    loader.load_state_dict(start)
    with pytest.raises(RuntimeError, match=r"ended because load_state_dict\(\) moved the loader"):
        next(batches)
    assert len(list(loader)) == 4


def test_shuffle_true_goes_on_with_the_saved_seed() -> None:
    loader = rb.Loader(numbers(0, 100), 5, shuffle=True)
    batches = iter(loader)
    next(batches)
    resumed = rb.Loader(numbers(0, 100), 5, shuffle=True)
    resumed.load_state_dict(through_json(loader.state_dict()))
    assert [delivered(batch) for batch in resumed] == [delivered(batch) for batch in batches]


def shuffled(source: Any, shuffle: Any = 3) -> rb.Loader:
    return rb.Loader(source, 5, shuffle=shuffle)


SAVED = shuffled(numbers(0, 20))


@pytest.mark.parametrize(
    ("field", "saved", "now", "other"),
    [
        ("samples", "20 samples", "21 samples", lambda: shuffled(numbers(0, 21))),
        ("samples", "20 samples", "40 samples", lambda: shuffled(numbers(0, 20, repeats=2))),
        (
            "sampler",
            "sampler StandardSampler(length=20, repeats=1)",
            "sampler StandardSampler(length=10, repeats=2)",
            lambda: shuffled(numbers(0, 10, repeats=2)),
        ),
        (
            "source",
            "source ArrayDataSource",
            "source choice(ArrayDataSource)",
            lambda: shuffled(rb.ChoiceDataSource([numbers(0, 20)])),
        ),
        (
            "sampler",
            "sampler StandardSampler(length=20, repeats=1)",
            "sampler SubsetSampler(",
            lambda: shuffled(numbers(0, 40, indices=np.arange(20))),
        ),
        (
            "source",
            "source ArrayDataSource",
            "source composite(ArrayDataSource)",
            lambda: shuffled(rb.CompositeDataSource([numbers(0, 20)])),
        ),
        ("shuffle", "seed 3", "seed 4", lambda: shuffled(numbers(0, 20), shuffle=4)),
        ("shuffle", "seed 3", "no shuffle", lambda: shuffled(numbers(0, 20), shuffle=None)),
        (
            "shuffle",
            "seed 3",
            "a RandomState as shuffle",
            lambda: shuffled(numbers(0, 20), shuffle=np.random.RandomState(3)),
        ),
    ],
)
def test_a_state_of_something_else_is_refused_by_what_differs(
    field: str, saved: str, now: str, other: Any
) -> None:
    with pytest.raises(rb.errors.StateError) as caught:
        other().load_state_dict(SAVED.state_dict())
    assert f"was saved with {saved}, but this loader has {now}" in str(caught.value)
    assert caught.value.field == field


def test_another_version_and_missing_fields_are_refused() -> None:
    state = SAVED.state_dict()
    for field in state:
        with pytest.raises(rb.errors.StateError, match=field):
            SAVED.load_state_dict({name: state[name] for name in state if name != field})
    with pytest.raises(rb.errors.StateError, match=r"version is 3, and this loader reads \(1, 2\)"):
        SAVED.load_state_dict(state | {"version": 3})
    with pytest.raises(rb.errors.StateError, match=r"version is '1', and this loader reads"):
        SAVED.load_state_dict(state | {"version": "1"})


def test_what_is_no_state_of_a_loader_is_refused() -> None:
    with pytest.raises(rb.errors.StateError, match="no 'version', so it is not the state of"):
        SAVED.load_state_dict({"model": {}, "loader": SAVED.state_dict()})
    with pytest.raises(TypeError, match=r"must be a dict from state_dict\(\), not None"):
        SAVED.load_state_dict(None)  # type: ignore[arg-type]


def test_a_generator_that_is_not_numpys_cannot_be_saved() -> None:
    class Mine:
        def permutation(self, x: Any, /) -> Any:
            return np.arange(x)

        def shuffle(self, x: Any, /) -> None:
            pass

    with pytest.raises(TypeError, match="use a NumPy generator"):
        rb.Loader(numbers(0, 20), 5, shuffle=Mine()).state_dict()


def test_a_new_process_goes_on() -> None:
    program = """
import json, sys
import raybatch as rb
from tests.sample_sources import numbers
loader = rb.Loader(numbers(0, 50), 5, shuffle=7)
loader.load_state_dict(json.load(sys.stdin))
print(json.dumps([batch[0].tolist() for batch in loader]))
"""
    loader = rb.Loader(numbers(0, 50), 5, shuffle=7)
    batches = iter(loader)
    next(batches)
    state = json.dumps(loader.state_dict())
    result = subprocess.run(
        [sys.executable, "-c", program], input=state, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout) == [delivered(batch)[0] for batch in batches]


def test_another_number_of_actors_goes_on(actors: rb.RayActorPool) -> None:
    with rb.Loader(numbers(0, 50), 5, shuffle=7, pool=actors) as loader:
        batches = iter(loader)
        next(batches)
        state = loader.state_dict()
        rest = [delivered(batch) for batch in batches]
    with rb.Loader(numbers(0, 50), 5, shuffle=7, pool=rb.RayActorPool(1)) as resumed:
        resumed.load_state_dict(state)
        assert [delivered(batch) for batch in resumed] == rest


class Listed(rb.sampling.AbstractSampler):
    """A user-defined sampler that draws in the order of a list."""

    def __init__(self, order: list[int]) -> None:
        self.order = order

    def num_indices_generated(self) -> int:
        return len(self.order)

    def in_order_indices_batch_iterator(self, batch_size: int) -> Any:
        yield from (np.array(self.order[at : at + 2]) for at in range(0, len(self.order), 2))


def test_a_sampler_with_another_list_is_another_sampler() -> None:
    def fresh(order: list[int]) -> rb.Loader:
        return rb.Loader(rb.ArrayDataSource([np.arange(6)], sampler=Listed(order)), 2)

    loader = fresh([0, 1, 2, 3, 4, 5])
    next(iter(loader))
    fresh([0, 1, 2, 3, 4, 5]).load_state_dict(loader.state_dict())
    with pytest.raises(rb.errors.StateError, match="sampler"):
        fresh([5, 4, 3, 2, 1, 0]).load_state_dict(loader.state_dict())


def test_a_state_of_a_generator_is_loaded_within_a_loop() -> None:
    def fresh() -> rb.Loader:
        shuffle = np.random.RandomState(3)
        return rb.Loader(numbers(0, 8), 2, shuffle=shuffle, batches_per_epoch=3)

    loader, other = fresh(), fresh()
    for _ in range(3):
        list(loader)
    next(iter(other))
    batches = iter(other)
    next(batches)
    other.load_state_dict(loader.state_dict())
    assert [delivered(batch) for batch in other] == [delivered(batch) for batch in loader]
