"""A session whose attempts are calls to Ray actors. The results are in Ray's object store."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.making.request import Request, Result
from raybatch.notices import tell
from raybatch.pools.forks import is_without_its_ray
from raybatch.pools.ray.actors import RayActor
from raybatch.pools.ray.constants import RayConstant
from raybatch.pools.ray.crew import Crew
from raybatch.pools.ray.failures import Kind, explained, kind_of
from raybatch.pools.ray.finishing import FinishedResults
from raybatch.pools.ray.packed_error import with_error_unpacked
from raybatch.pools.ray.small_members import with_small_members_copied
from raybatch.pools.session import HandOver
from raybatch.scheduling.messages import Completed, Failed, Silent
from raybatch.scheduling.placement import Attempt, Placed, Placement
from raybatch.stores import cache_counts

# A result that is ready is already on this host, unless it has just been lost.
_GET_TIMEOUT_S = 5.0

# Copies of sessions in a forked process. Releasing a reference could hang there for ever: a thread
# of the parent process may have held Ray's lock on references at the moment of the fork.
_left_to_their_process: list[RaySession] = []


class RaySession:
    """A `Session` on a crew of actors.

    A result is mapped from the object store without a copy. Only its small members are copied.
    """

    clock = staticmethod(time.monotonic)

    def __init__(self, pool: object, crew: Crew, source: RayConstant) -> None:
        self._pool: object | None = pool  # keeps the actors running
        self._crew = crew
        self._source: RayConstant | None = source
        # The name of a running attempt is the reference to its result.
        self._placement = Placement(crew.workers, is_shared=crew.roster.is_shared)
        self._refused: list[Completed | Failed] = []
        self._results = FinishedResults()
        self.hand_over = HandOver()
        self.fetch, self.discard = self._results.fetch, self._results.discard
        crew.store.streams.add(self)

    def submit(self, key: int, attempt: int, request: Request, avoid: frozenset[int]) -> None:
        self._crew.check_open()
        self._placement.add(Attempt(key, attempt, request, avoid))
        self._dispatch()

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        deadline = time.monotonic() + timeout_s
        while not self._refused:
            self._crew.check_open()
            due_s = self._crew.fill_up(is_awaited=self._placement.is_waiting)
            asked_at = time.monotonic()
            ended = self._crew.wait_for_any(
                self._placement.running, min(deadline - asked_at, due_s)
            )
            self._placement.listened_s += time.monotonic() - asked_at
            events = [self._finish(ref) for ref in ended] + self._take_back()
            self._dispatch()
            if events or time.monotonic() >= deadline:
                return events
        refused, self._refused = self._refused, []
        return refused

    def silent(self) -> tuple[Silent, ...]:
        running = self._placement.running
        ended, _ = (
            ray.wait(list(running), num_returns=len(running), timeout=0) if running else ([], [])
        )
        # A worker is not silent if its result has arrived but `wait` has not returned it yet.
        heard = {running[ref].worker for ref in ended}
        return self._placement.silent(time.monotonic(), heard)

    def kill(self, worker: int) -> None:
        for actor in {placed.worker for placed in self._placement.running.values()}:
            if actor.number == worker:
                self._crew.replace(actor)

    def close(self) -> None:
        if is_without_its_ray():
            _left_to_their_process.append(self)
            return
        # Attempts under way run to their end: `ray.cancel` leaves a gap in an actor's sequence of
        # calls, and the actor waits 30 s for the missing call (Ray 2.60). The garbage collector can
        # close a session while this thread holds the lock, so the lock defers the rest.
        self._crew.lock.call_later(self._abandon)
        self._results.clear()
        self._crew.store.streams.discard(self)
        self._source = None
        self._pool = None

    def _abandon(self) -> None:
        self._crew.abandon(self._placement.running)
        self._placement.close(time.monotonic())

    def _dispatch(self) -> None:
        with self._crew.lock:
            for attempt, actor in self._placement.places(self._crew.size, time.monotonic()):
                self._ask(attempt, actor)

    def _ask(self, attempt: Attempt, actor: RayActor) -> None:
        assert self._source is not None
        try:
            ref = actor.make(self._source, attempt.request)
        except Exception as error:
            # Most often the request cannot be pickled.
            self._refused.append(Failed(attempt.key, attempt.attempt, Result(error=error)))
            return
        self._placement.took_up(attempt, actor, ref, time.monotonic())

    def _take_back(self) -> list[Completed | Failed]:
        """Return the events of the attempts on actors that are gone: completed or lost.

        Without this, the calls of an actor that cannot be reached would not fail for a long time.
        """
        refs = [ref for ref, placed in self._placement.running.items() if placed.worker.is_gone]
        if not refs:
            return []
        answered, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        error = RuntimeError("the actor was ended or cannot be reached")
        return [
            self._finish(ref) if ref in answered else self._failed(ref, Kind.WORKER_LOST, error)
            for ref in refs
        ]

    def _finish(self, ref: Any) -> Completed | Failed:
        start = time.perf_counter()
        try:
            made = ray.get(ref, timeout=_GET_TIMEOUT_S)
        except ray_errors.RayError as error:
            return self._failed(ref, kind_of(error), error)
        result, seconds, store_s, loading_s = made
        result = result._replace(batch=with_small_members_copied(result.batch))
        for notice in result.notices:
            tell(*notice)
        cache_counts.add(result.counted)
        self.hand_over += HandOver(store_s, time.perf_counter() - start)
        placed, silent_s = self._end(ref, seconds)
        # The worker was also silent while it loaded the source; that time does not count here.
        seconds = max(seconds, silent_s - loading_s)
        event = self._results.settle(
            placed.key, placed.attempt, with_error_unpacked(result), seconds
        )
        if isinstance(event, Completed):
            self._crew.store.check(event.nbytes)
        return event

    def _failed(self, ref: Any, kind: Kind, error: Exception) -> Failed:
        actor = self._placement.running[ref].worker
        if kind is Kind.WORKER_LOST:
            self._crew.replace(actor)
        placed, _ = self._end(ref)
        return Failed(
            placed.key,
            placed.attempt,
            Result(error=explained(kind, error)),
            lost=kind in (Kind.WORKER_LOST, Kind.RESULT_LOST),
            begun=not actor.is_gone or actor.died_on in (ref, None),
            worker=actor.number,
        )

    def _end(self, ref: Any, seconds: float | None = None) -> tuple[Placed[RayActor], float]:
        """Remove an attempt that has ended; return it, and how long its worker was silent."""
        placed = self._placement.running[ref]
        with self._crew.lock:
            return placed, self._placement.ended(ref, time.monotonic(), seconds)
