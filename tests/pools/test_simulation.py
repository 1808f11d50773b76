"""The real loader on simulated workers delivers the serial stream, whatever faults happen."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raybatch as rb
from raybatch.scheduling.messages import Completed, Failed
from tests.pools.simulated_pool import (
    Behaviour,
    HostCutOff,
    HostDies,
    HostSlow,
    SimulatedPool,
    SimulatedSession,
)

HOSTS = 3


class CheckedSession(SimulatedSession):
    """A simulated session that checks its rules at every step, and fails on a livelock."""

    def __init__(self, pool: CheckedPool, read: Any) -> None:
        self.limit = pool.prefetch
        self.steps_left = 20_000
        self.attempts: dict[int, set[int]] = {}
        self.held: dict[tuple[int, int], int] = {}
        self.fetched: Counter[int] = Counter()
        super().__init__(pool, read)
        self.fetch, self.discard = self._fetch, self._discard

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        assert attempt not in self.attempts.setdefault(key, set()), "each attempt once"
        self.attempts[key].add(attempt)
        assert not self.fetched[key], "a batch that was delivered is not made again"
        assert len(self.attempts) - len(self.fetched) <= self.limit.batches
        super().submit(key, attempt, item, avoid)

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        self.steps_left -= 1
        assert self.steps_left > 0, "a livelock"
        assert timeout_s >= 0
        events = super().wait(timeout_s)
        for event in events:
            if isinstance(event, Completed):
                self.held[event.key, event.attempt] = event.nbytes
        return events

    def _fetch(self, key: int, attempt: int) -> Any:
        assert key == len(self.fetched), "in order, each once"
        self.fetched[key] += 1
        del self.held[key, attempt]
        assert len({key for key, _ in self.held}) <= self.limit.batches
        return self._results.fetch(key, attempt)

    def _discard(self, key: int, attempt: int) -> None:
        self.held.pop((key, attempt), None)
        self._results.discard(key, attempt)


class CheckedPool(SimulatedPool):
    """A simulated pool that checks its streams."""

    def __init__(self, num_workers: int, prefetch: rb.Prefetch, **options: Any) -> None:
        super().__init__(num_workers, **options)
        self.prefetch = prefetch
        self.sessions: list[CheckedSession] = []

    def open(self, read: Any) -> CheckedSession:
        session = CheckedSession(self, read)
        self.sessions.append(session)
        return session


def source(batches: int) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(batches * 2)])


times = st.floats(0, 4)
hosts = st.integers(0, HOSTS - 1)
faults = st.lists(
    st.one_of(
        st.builds(HostDies, times, hosts, st.floats(0.1, 20)),
        st.builds(HostCutOff, times, hosts, st.floats(0.1, 200)),
        st.builds(HostSlow, times, hosts, st.floats(0.1, 100)),
    ),
    max_size=6,
)
behaviours = st.builds(
    Behaviour,
    seconds=st.floats(0.01, 1),
    sigma=st.floats(0, 1.5),
    loss=st.sampled_from([0.0, 0.05, 0.2]),
    duplicate=st.sampled_from([0.0, 0.2]),
    start_s=st.floats(0.1, 5),
)


@settings(max_examples=150)
@given(
    faults=faults,
    behaviour=behaviours,
    workers=st.integers(HOSTS, 9),
    seed=st.integers(0, 1000),
    batches=st.integers(1, 12),
    nbytes=st.none() | st.integers(8, 200),
)
def test_whatever_happens_the_stream_is_the_serial_one(
    faults: list[Any],
    behaviour: Behaviour,
    workers: int,
    seed: int,
    batches: int,
    nbytes: int | None,
) -> None:
    prefetch = rb.Prefetch(batches, nbytes)
    pool = CheckedPool(
        workers, prefetch, num_hosts=HOSTS, seed=seed, behaviour=behaviour, faults=faults
    )
    # With this spread and a slow host, a batch may exceed the default timeout of ten minutes.
    recovery = rb.Recovery(max_attempts=50, no_progress_timeout_s=1e9)
    loader = rb.Loader(source(60), 2, shuffle=3, pool=pool, prefetch=prefetch, recovery=recovery)
    assert rb.stream_digest(loader) == rb.stream_digest(rb.Loader(source(60), 2, shuffle=3))
    (session,) = pool.sessions
    # Attempts may still be under way, but no result of a delivered batch is held any more.
    assert all(key >= len(session.fetched) for key, _ in session.held)


def longest_wait(pool: SimulatedPool, loader: rb.Loader) -> float:
    longest, before = 0.0, 0.0
    for _ in loader:
        longest, before = max(longest, pool.elapsed_s - before), pool.elapsed_s
    return longest


@pytest.mark.parametrize("fault", [HostCutOff(2.0, 0), HostDies(2.0, 0), HostCutOff(2.0, 0, 5.0)])
def test_a_host_that_goes_holds_up_the_consumer_for_moments(fault: Any) -> None:
    pool = SimulatedPool(8, num_hosts=2, faults=[fault], behaviour=Behaviour(start_s=5))
    assert longest_wait(pool, rb.Loader(source(300), 2, pool=pool)) < 1


def test_a_slow_worker_costs_little() -> None:
    def seconds(workers: int, faults: list[Any]) -> float:
        pool = SimulatedPool(workers, num_hosts=workers, faults=faults)
        assert sum(1 for _ in rb.Loader(source(400), 2, pool=pool)) == 400
        return pool.elapsed_s

    assert seconds(4, [HostSlow(0.0, 0, 50)]) < 1.3 * seconds(3, [])


def test_with_no_host_left_the_error_says_what_was_waited_for() -> None:
    pool = SimulatedPool(2, faults=[HostDies(0.5, 0)])
    loader = rb.Loader(source(300), 2, pool=pool)
    with pytest.raises(rb.errors.BatchError, match=r"on no worker yet.*no_progress_timeout_s"):
        list(loader)
    assert pool.elapsed_s == pytest.approx(600, abs=20)


@pytest.mark.slow
def test_a_thousand_workers_and_a_hundred_thousand_batches() -> None:
    faults: list[Any] = [
        HostCutOff(2, 3),
        HostDies(3, 4, 2),
        HostCutOff(4, 5, 3),
        HostSlow(1, 6, 50),
    ]
    pool = SimulatedPool(1000, num_hosts=50, faults=faults, behaviour=Behaviour(loss=0.001))
    start = time.process_time()
    count = 0
    for (x,) in rb.Loader(source(100_000), 2, pool=pool):
        assert x[0] == 2 * count
        count += 1
    assert count == 100_000
    assert time.process_time() - start < 100
    assert pool.elapsed_s < 30, "ten seconds without faults"


def test_the_same_seed_gives_the_same_simulation() -> None:
    def elapsed(seed: int) -> float:
        pool = SimulatedPool(4, seed=seed, behaviour=Behaviour(loss=0.1))
        assert sum(1 for _ in rb.Loader(source(50), 2, pool=pool)) == 50
        return pool.elapsed_s

    assert elapsed(1) == elapsed(1) != elapsed(2)


def test_what_cannot_be_simulated_is_an_error() -> None:
    with pytest.raises(ValueError, match="no host 2"):
        SimulatedPool(4, num_hosts=2, faults=[HostDies(1, 2)])
    with pytest.raises(ValueError, match="num_hosts"):
        SimulatedPool(1, num_hosts=2)
