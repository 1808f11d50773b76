"""A session whose attempts are calls of Ray actors, and whose results lie in Ray's object store."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import RemoteError, WorkerLostError
from raybatch.making import Result
from raybatch.pools.ray.failures import Kind, kind_of
from raybatch.pools.ray.member import RayMember
from raybatch.pools.ray.team import RayTeam, wait_for_any
from raybatch.pools.ray.worker import RayConstant, unpacked_error
from raybatch.pools.session import HandOver, Results
from raybatch.scheduling import Completed, Failed, Silent

# An actor has the next attempt at hand, and a slow one holds few.
_MIN_QUEUE_LENGTH = 2

# Ray takes no longer, let alone an endless, wait.
_MAX_WAIT_S = 3600.0

# A result that is ready is here already, unless it was lost just then.
_GET_TIMEOUT_S = 5.0


@dataclass(order=True)
class _Waiting:
    """An attempt that waits for a place at an actor; the earliest batch goes first."""

    key: int
    attempt: int
    item: Any = field(compare=False)
    avoid: frozenset[int] = field(compare=False)


class RaySession:
    """A `Session` on a team of actors. A result is mapped from the object store, not copied."""

    clock = staticmethod(time.monotonic)

    def __init__(self, pool: object, team: RayTeam, read: RayConstant) -> None:
        self._pool: object | None = pool  # the actors live while the pool does
        self._team = team
        self._read: RayConstant | None = read
        self._waiting: list[_Waiting] = []
        self._running: dict[Any, tuple[int, int, RayMember]] = {}
        self._queued: Counter[int] = Counter()
        # For how long it was waited, and how long that was when a worker was last heard of or given work.
        self._listened_s = 0.0
        self._heard_at: dict[int, float] = {}
        self._refused: list[Completed | Failed] = []
        self._results = Results()
        self._store_s = self._transfer_s = 0.0
        self.fetch, self.discard = self._results.fetch, self._results.discard
        team.opened(self)

    @property
    def hand_over(self) -> HandOver:
        return HandOver(self._store_s, self._transfer_s)

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        self._team.check_open()
        heapq.heappush(self._waiting, _Waiting(key, attempt, item, avoid))
        self._dispatch()

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        deadline = time.monotonic() + timeout_s
        while not self._refused:
            self._team.check_open()
            due_s = self._team.fill_up()
            starting = self._team.starting()
            patience_s = self._team.seconds_to_start() if self._waiting else _MAX_WAIT_S
            timeout = max(0.0, min(deadline - time.monotonic(), patience_s, due_s, _MAX_WAIT_S))
            asked_at = time.monotonic()
            ended = wait_for_any([*self._running, *starting], timeout)
            self._listened_s += time.monotonic() - asked_at
            events = [self._finish(ref) for ref in ended if ref in self._running]
            for ref in ended:
                if ref in starting:
                    self._team.settle_start(starting[ref])
            events += self._take_back()
            self._dispatch()
            if events or (not ended and time.monotonic() >= deadline):
                return events
        refused, self._refused = self._refused, []
        return refused

    def silent(self) -> tuple[Silent, ...]:
        refs = list(self._running)
        ended, _ = ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        # Who has a result that was not looked at yet is not silent.
        heard = {self._running[ref][2].number for ref in ended}
        now = time.monotonic()
        return tuple(
            Silent(key, attempt, member.number, now - member.heard_at)
            for key, attempt, member in self._running.values()
            if member.number not in heard
        )

    def kill(self, worker: int) -> None:
        for _, _, member in list(self._running.values()):
            if member.number == worker:
                self._team.replace(member)

    def close(self) -> None:
        # Attempts under way run to their end: `ray.cancel` leaves a gap in an actor's sequence of calls, for
        # which the actor then waits 30 s (Ray 2.60). Their results are freed as they come.
        for ref, (_, _, member) in self._running.items():
            self._team.answered(member, ref)
        self._running.clear()
        self._waiting.clear()
        self._results.clear()
        self._team.closed(self)
        self._read = None
        self._pool = None

    def _dispatch(self) -> None:
        # An actor makes batches in the order in which it is asked, so users whose queues at it are equally long get equal
        # shares of it, whatever their windows.
        queue_length = _MIN_QUEUE_LENGTH
        if not self._team.is_shared:
            # Actors that are not up yet keep their share, or the first one up would be given everything.
            share = -(-(len(self._waiting) + len(self._running)) // self._team.size)
            queue_length = max(queue_length, share)
        full = {number for number, count in self._queued.items() if count >= queue_length}
        waiting = []
        while self._waiting:
            attempt = heapq.heappop(self._waiting)
            # A second attempt of a batch helps only elsewhere.
            unfit = full | self._workers_of(attempt.key) if attempt.attempt else full
            member = self._team.choose(attempt.avoid, unfit, can_wait=not attempt.attempt)
            if member is not None:
                self._start(member, attempt)
                if self._queued[member.number] >= queue_length:
                    full.add(member.number)
                continue
            waiting.append(attempt)
            if not attempt.attempt:
                break
        for attempt in waiting:
            heapq.heappush(self._waiting, attempt)

    def _workers_of(self, key: int) -> set[int]:
        return {member.number for own, _, member in self._running.values() if own == key}

    def _start(self, member: RayMember, attempt: _Waiting) -> None:
        assert self._read is not None
        try:
            ref = self._team.submit(member, self._read, attempt.item)
        except Exception as error:
            # What cannot be pickled, most of all.
            self._refused.append(Failed(attempt.key, attempt.attempt, Result(error=error)))
            return
        self._running[ref] = (attempt.key, attempt.attempt, member)
        if not self._queued[member.number]:
            self._heard_at[member.number] = self._listened_s
        self._queued[member.number] += 1

    def _take_back(self) -> list[Completed | Failed]:
        """Return the attempts of actors that are gone: what they answered before, and as lost the rest.

        The calls of an actor that cannot be reached do not fail by themselves for a long time.
        """
        refs = [ref for ref, (_, _, member) in self._running.items() if member.is_gone]
        if not refs:
            return []
        answered, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        error = RuntimeError("the actor was ended, or cannot be reached")
        return [self._finish(ref) if ref in answered else self._lost(ref, error) for ref in refs]

    def _finish(self, ref: Any) -> Completed | Failed:
        member = self._running[ref][2]
        start = time.perf_counter()
        try:
            result = ray.get(ref, timeout=_GET_TIMEOUT_S)
            self._transfer_s += time.perf_counter() - start
        except ray_errors.RayError as error:
            kind = kind_of(error)
            if kind is Kind.WORKER_LOST:
                self._team.replace(member)
            if kind in (Kind.WORKER_LOST, Kind.RESULT_LOST):
                return self._lost(ref, error)
            key, attempt = self._end(ref)
            return Failed(key, attempt, Result(error=_not_lost(kind, error)), worker=member.number)
        key, attempt = self._end(ref)
        value, member.seconds, store_s, loading_s = result
        value = unpacked_error(value)
        self._store_s += store_s
        # What is late is judged by how long nothing is heard of a worker, and results may take longer to come over a
        # slow link than to make. What the consumer does in between is not silence, nor is that a worker loads the source.
        silent_s = self._listened_s - self._heard_at[member.number] - loading_s
        self._heard_at[member.number] = self._listened_s
        event = self._results.settle(key, attempt, value, max(member.seconds, silent_s))
        if isinstance(event, Completed):
            self._team.check_room(event.nbytes)
        return event

    def _lost(self, ref: Any, error: Exception) -> Failed:
        member = self._running[ref][2]
        key, attempt = self._end(ref)
        begun = not member.is_gone or member.died_on in (ref, None)
        lost = _caused("the actor, its host or its result was lost", error, WorkerLostError)
        return Failed(
            key, attempt, Result(error=lost), lost=True, begun=begun, worker=member.number
        )

    def _end(self, ref: Any) -> tuple[int, int]:
        """Forget an attempt that is over."""
        key, attempt, member = self._running.pop(ref)
        self._queued[member.number] -= 1
        self._team.answered(member, ref)
        return key, attempt


def _not_lost(kind: Kind, error: ray_errors.RayError) -> RemoteError | WorkerLostError:
    if kind is Kind.USER_ERROR and isinstance(error, ray_errors.RayTaskError):
        what = "a worker could not send its result, or get what it was sent"
        return _caused(what, error.cause, RemoteError)
    if kind is Kind.OUT_OF_ROOM:
        what = (
            "the batch found no room in Ray's object store; make smaller batches, or start Ray with a larger "
            "object_store_memory"
        )
        return _caused(what, error, RemoteError)
    return _caused("Ray failed", error, RemoteError)


def _caused(
    what: str, cause: BaseException, kind: type[RemoteError | WorkerLostError]
) -> RemoteError | WorkerLostError:
    error = kind(f"{what}: {cause}")
    error.__cause__ = cause
    return error
