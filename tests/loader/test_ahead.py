"""Batches that are prepared before the loop asks for them: their order, errors and saved states."""

from __future__ import annotations

import gc
import json
import pickle
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.adapters.ahead import AheadLoader
from raybatch.errors import BatchError
from tests.sample_sources import SHUFFLES, Faulty, delivered, numbers

AHEADS = [0, 1, 3, 100]


def unchanged(batch: Any) -> Any:
    return batch


def prepared(loader: rb.Loader, ahead: int) -> AheadLoader:
    return AheadLoader(loader, unchanged, unchanged, ahead)


@pytest.mark.parametrize("ahead", AHEADS)
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_from_every_step_the_rest_follows(shuffle: str, ahead: int) -> None:
    def fresh() -> AheadLoader:
        return prepared(rb.Loader(numbers(0, 23), 4, shuffle=SHUFFLES[shuffle]()), ahead)

    loader = fresh()
    whole = [delivered(batch) for _ in range(2) for batch in loader]
    loader = fresh()
    states = [loader.state_dict()]
    for _ in range(2):
        states += [loader.state_dict() for _ in loader]
    assert len(whole) + 1 == len(states) == 13
    for step, state in enumerate(states):
        resumed = fresh()
        resumed.load_state_dict(json.loads(json.dumps(state)))
        rest = []
        while resumed.loader.epoch < 2:
            rest += [delivered(batch) for batch in resumed]
        assert rest == whole[step:]


@pytest.mark.parametrize("ahead", AHEADS)
@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("step", [1, 3, 5])
def test_after_a_loop_that_was_left_the_next_epoch_follows(
    step: int, shuffle: str, ahead: int
) -> None:
    loader = prepared(rb.Loader(numbers(0, 23), 4, shuffle=SHUFFLES[shuffle]()), ahead)
    for count, _ in enumerate(loader, start=1):
        if count == step:
            break
    assert sum(steps for _, steps in loader.state_dict()["received"]) == step
    plain = rb.Loader(numbers(0, 23), 4, shuffle=SHUFFLES[shuffle]())
    expected = [delivered(batch) for _ in range(3) for batch in plain]
    assert [delivered(batch) for _ in range(2) for batch in loader] == expected[6:]


def test_no_more_is_asked_for_than_is_to_be_ahead() -> None:
    made = []

    def prepare(batch: Any) -> Any:
        made.append(batch)
        return batch

    loader = AheadLoader(rb.Loader(numbers(0, 23), 4), prepare, unchanged, ahead=2)
    batches = iter(loader)
    assert made == []
    assert [len(made) for _ in batches] == [3, 4, 5, 6, 6, 6]


@pytest.mark.parametrize("ahead", AHEADS)
def test_an_error_comes_after_the_batches_before_it(ahead: int) -> None:
    source = rb.ArrayDataSource([Faulty(0, 12, bad=(5,))])
    loader = rb.Loader(source, 2)
    batches = iter(prepared(loader, ahead))
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(BatchError, match="batch 2 of epoch 0"):
        next(batches)
    assert loader.batches_received == 3  # no batch after the failed one was requested
    assert [x.tolist() for (x,) in batches] == [[6, 7], [8, 9], [10, 11]]


@pytest.mark.parametrize("ahead", AHEADS)
def test_a_pickled_one_goes_on_where_this_one_is(ahead: int) -> None:
    loader = prepared(rb.Loader(numbers(0, 23), 4, shuffle=1), ahead)
    batches = iter(loader)
    next(batches)
    copy = pickle.loads(pickle.dumps(loader))
    assert [delivered(batch) for batch in copy] == [delivered(batch) for batch in batches]


def test_what_is_no_loader_is_refused() -> None:
    with pytest.raises(TypeError, match=r"loader must be a raybatch\.Loader, not <class 'list'>"):
        prepared([np.arange(3)], 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("ahead", AHEADS)
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_second_iterator_ends_the_first_with_an_error(taken: int, ahead: int) -> None:
    """If the first iterator just stopped, `zip(loader, loader)` would silently have no batches."""
    loader = prepared(rb.Loader(numbers(0, 23), 4), ahead)
    first = iter(loader)
    for _ in range(taken):
        next(first)
    second = iter(loader)
    with pytest.raises(RuntimeError, match=r"another iter\(\).* make two loaders"):
        next(first)
    del first
    gc.collect()
    assert len(list(second)) == 6


@pytest.mark.parametrize("ahead", AHEADS)
def test_an_iterator_that_has_given_all_is_at_its_end(ahead: int) -> None:
    loader = prepared(rb.Loader(numbers(0, 23), 4), ahead)
    first = iter(loader)
    for _ in range(6):
        next(first)
    second = iter(loader)
    assert list(first) == []
    assert len(list(second)) == 6
