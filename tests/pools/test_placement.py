"""Placement: the rules by which workers get attempts, tested without a clock or a pool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybatch.scheduling.placement import Attempt, Placement, Worker, Workers
from raybatch.scheduling.settings import Prefetch


def attempt(key: int, number: int = 0, avoid: tuple[int, ...] = ()) -> Attempt:
    return Attempt(key, number, None, frozenset(avoid))


def workers(count: int) -> tuple[Workers[Worker], list[Worker]]:
    found: Workers[Worker] = Workers()
    each = [Worker(number) for number in range(count)]
    for worker in each:
        found.add(worker)
    return found, each


def place(placement: Placement[Any], size: int, now: float = 0.0) -> list[tuple[int, int]]:
    """Place all attempts that have room; return their keys with the numbers of their workers."""
    placed = []
    for own, worker in placement.places(size, now):
        placement.took_up(own, worker, (own.key, own.attempt), now)
        placed.append((own.key, worker.number))
    return placed


def test_the_least_loaded_get_the_earliest() -> None:
    found, each = workers(3)
    found.took_up(each[0], "of another stream", 0.0)
    placement: Placement[Worker] = Placement(found)
    for key in (4, 3, 2, 1, 0):
        placement.add(attempt(key))
    assert place(placement, 3) == [(0, 1), (1, 2), (2, 0), (3, 1), (4, 2)]
    placement.add(attempt(5))
    placement.ended((1, 0), 1.0)
    placement.ended((4, 0), 1.0)
    assert place(placement, 3) == [(5, 2)]


def test_workers_that_are_not_up_yet_keep_their_share() -> None:
    found, each = workers(1)
    placement: Placement[Worker] = Placement(found)
    for key in range(12):
        placement.add(attempt(key))
    assert place(placement, 3) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    found.add(Worker(1))
    assert place(placement, 3) == [(4, 1), (5, 1), (6, 1), (7, 1)]
    assert placement.is_waiting
    found.remove(each[0])
    assert list(found) != each
    found.add(Worker(2))
    assert len(place(placement, 3)) == 4
    assert not placement.is_waiting


def test_streams_of_a_shared_pool_have_short_queues() -> None:
    found, _ = workers(2)
    placement: Placement[Worker] = Placement(found, is_shared=True)
    for key in range(100):
        placement.add(attempt(key))
    assert len(place(placement, 2)) == 4


def test_another_attempt_goes_elsewhere() -> None:
    found, _ = workers(3)
    placement: Placement[Worker] = Placement(found)
    placement.add(attempt(0))
    place(placement, 3)
    (first,) = (placed.worker.number for placed in placement.running.values())
    others = {0, 1, 2} - {first}
    placement.add(attempt(0, 1, avoid=(min(others),)))
    assert place(placement, 3) == [(0, max(others))]
    placement.add(attempt(0, 2, avoid=(0, 1, 2)))
    assert place(placement, 3) == [(0, min(others))], "where all are to be avoided, one of them"
    placement.add(attempt(0, 3))
    placement.add(attempt(1))
    assert [key for key, _ in place(placement, 3)] == [1], "none is left; later ones go on"
    found.add(Worker(3))
    assert place(placement, 4) == [(0, 3)]


def test_a_laggard_rests_and_is_tried_again() -> None:
    worker = Worker(0, heard_at=100.0, seconds=5.0)
    assert worker.is_laggard(fastest_s=0.1, now=101.0)
    assert not worker.is_laggard(fastest_s=0.1, now=120.5)
    worker.queue["a batch"] = None
    assert worker.is_laggard(fastest_s=0.1, now=120.5), "it has one, and needs no other"
    assert not worker.is_laggard(fastest_s=1.0, now=101.0), "a little slower is no laggard"
    assert not worker.is_laggard(fastest_s=float("inf"), now=101.0), "nobody is faster"


def test_what_is_late_is_not_given_to_a_laggard_and_what_is_first_waits() -> None:
    found, (slow, fast, other) = workers(3)
    slow.seconds, fast.seconds = 5.0, 0.1
    placement: Placement[Worker] = Placement(found)
    found.took_up(fast, "of another stream", 0.0)
    found.took_up(other, "of another stream", 0.0)
    placement.add(attempt(0, 1))
    assert place(placement, 3) == [(0, 1)], "though the laggard has nothing to do"
    placement.add(attempt(1, 1, avoid=(1, 2)))
    assert place(placement, 3) == [(1, 0)], "it is better than those that are late"
    placement.ended((1, 1), 0.5)
    for key in range(2, 6):
        placement.add(attempt(key))
    assert {number for _, number in place(placement, 3, 0.5)} == {1, 2}
    assert placement.is_waiting


def test_a_worker_that_is_stuck_is_not_the_fastest() -> None:
    found, (stuck, other) = workers(2)
    found.took_up(stuck, "a batch", 0.0)
    stuck.seconds, other.seconds, other.heard_at = 0.1, 2.0, 10.0
    assert found.is_laggard(other, 0.5)
    assert not found.is_laggard(other, 10.0)


def test_those_that_leave_get_batches_only_if_there_are_no_others() -> None:
    found, each = workers(3)
    found.leave(each[0])
    assert list(found) == each[1:]
    found.leave(each[1])
    found.remove(each[2])
    assert list(found) == each[:2]
    found.remove(each[2])
    assert len(found) == 2
    found.add(Worker(3))
    assert [worker.number for worker in found] == [3]


def test_silence_is_counted_from_what_a_worker_last_said() -> None:
    found, (one, other) = workers(2)
    placement: Placement[Worker] = Placement(found)
    for key in range(3):
        placement.add(attempt(key))
    place(placement, 2, now=10.0)
    placement.listened_s = 3.0
    assert placement.ended((0, 0), 14.0, 0.5) == 3.0, "the consumer was away for the rest"
    assert one.seconds == 0.5
    silent = {(own.key, own.worker): own.seconds for own in placement.silent(15.0)}
    assert silent == {(1, 1): 5.0, (2, 0): 1.0}
    assert [own.key for own in placement.silent(15.0, heard={other})] == [2]
    placement.listened_s = 3.5
    assert placement.ended((2, 0), 15.0) == 0.5
    placement.close(16.0)
    assert not other.queue
    assert not placement.running


@given(st.data())
def test_whatever_comes_and_goes_the_index_is_the_truth(data: st.DataObject) -> None:
    found: Workers[Worker] = Workers()
    here: dict[int, Worker] = {}
    gone: list[Worker] = []
    for step in range(data.draw(st.integers(0, 30))):
        steps = ["add"] + ["remove", "leave", "take", "answer"] * bool(here)
        what = data.draw(st.sampled_from(steps + ["answer gone"] * bool(gone)))
        if what == "add":
            here[step] = Worker(step)
            found.add(here[step])
            continue
        pool = gone if what == "answer gone" else list(here.values())
        worker = data.draw(st.sampled_from(pool))
        match what:
            case "remove":
                found.remove(worker)
                gone.append(here.pop(worker.number))
            case "leave":
                found.leave(worker)
            case "take":
                found.took_up(worker, step, float(step))
            case _ if worker.queue:
                found.answered(worker, next(iter(worker.queue)), float(step))
        stay = [own for own in here.values() if not own.is_leaving] or list(here.values())
        listed = list(found)
        assert len(found) == len(here)
        assert {own.number for own in listed} == {own.number for own in stay}
        loads = [len(own.queue) for own in listed]
        assert loads == sorted(loads)


def test_what_is_made_ahead_by_workers() -> None:
    assert Prefetch.for_workers(3) == Prefetch(8)
    assert Prefetch.for_workers(1, 100) == Prefetch(4, 100)
    with pytest.raises(ValueError, match=r"Prefetch\.batches must be 1 or more, not 0"):
        Prefetch(0)
