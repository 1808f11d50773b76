"""A session whose attempts are calls of Ray actors, and whose results lie in Ray's object store."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import RemoteError, WorkerLostError
from raybatch.scheduling import Completed, Failed
from raybatch.work_pool.pool import Call
from raybatch.work_pool.ray_team import LOST, RayMember, RayTeam
from raybatch.work_pool.ray_worker import PackedFailure, RayConstant
from raybatch.work_pool.session import Failure, Results

# An actor has the next attempt at hand, and a slow one holds few.
_MIN_QUEUE_LENGTH = 2

# Ray takes no longer, let alone an endless, wait.
_MAX_WAIT_S = 3600.0


class RaySession:
    """A `Session` on a team of actors. A result is mapped from the object store, not copied."""

    def __init__(self, pool: object, team: RayTeam, read: RayConstant) -> None:
        self._pool: object | None = pool  # the actors live while the pool does
        self._team = team
        self._read: RayConstant | None = read
        self._waiting: deque[tuple[int, int, Any, frozenset[int]]] = deque()
        self._running: dict[Any, tuple[int, int, RayMember]] = {}
        self._queued: Counter[int] = Counter()
        self._refused: list[Completed | Failed] = []
        self._results = Results()
        self.fetch, self.discard = self._results.fetch, self._results.discard

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        self._team.check_open()
        self._waiting.append((key, attempt, item, avoid))
        self._dispatch()

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        deadline = time.monotonic() + timeout_s
        while not self._refused:
            self._team.check_open()
            starting = self._team.starting()
            patience_s = self._team.seconds_to_start() if self._waiting else _MAX_WAIT_S
            timeout = max(0.0, min(deadline - time.monotonic(), patience_s, _MAX_WAIT_S))
            ended, _ = ray.wait([*self._running, *starting], num_returns=1, timeout=timeout)
            if not ended and time.monotonic() >= deadline:
                return []
            events = [self._finish(ref) for ref in ended if ref in self._running]
            for ref in ended:
                if ref in starting:
                    self._team.settle_start(starting[ref])
            self._dispatch()
            if events:
                return events
        refused, self._refused = self._refused, []
        return refused

    def close(self) -> None:
        # Attempts under way run to their end: `ray.cancel` leaves a gap in an actor's sequence of calls, for
        # which the actor then waits 30 s (Ray 2.60). Their results are freed as they come.
        for ref, (_, _, member) in self._running.items():
            self._team.answered(member, ref)
        self._running.clear()
        self._waiting.clear()
        self._results.clear()
        self._read = None
        self._pool = None

    def _dispatch(self) -> None:
        # Actors that are not up yet keep their share, or the first one up would be given everything.
        share = -(-(len(self._waiting) + len(self._running)) // self._team.size)
        queue_length = max(_MIN_QUEUE_LENGTH, share)
        while self._waiting:
            key, attempt, item, avoid = self._waiting[0]
            full = {number for number, count in self._queued.items() if count >= queue_length}
            member = self._team.choose(avoid, full)
            if member is None:
                return
            self._waiting.popleft()
            self._start(member, key, attempt, item)

    def _start(self, member: RayMember, key: int, attempt: int, item: Any) -> None:
        assert self._read is not None
        constants = item.constants() if isinstance(item, Call) else ()
        try:
            ref = self._team.submit(member, self._read, item, constants)
        except Exception as error:
            # What cannot be pickled, most of all.
            self._refused.append(Failed(key, attempt, Failure(error)))
            return
        self._running[ref] = (key, attempt, member)
        self._queued[member.number] += 1

    def _finish(self, ref: Any) -> Completed | Failed:
        key, attempt, member = self._running.pop(ref)
        self._queued[member.number] -= 1
        try:
            result = ray.get(ref)
        except LOST as error:
            self._team.replace(member)
            begun = member.died_on in (ref, None)
            lost = Failure(
                _caused("the actor, its host or its result was lost", error, WorkerLostError)
            )
            return Failed(key, attempt, lost, lost=True, begun=begun, worker=member.number)
        except ray_errors.RayTaskError as error:
            what = "a worker could not send its result, or get what it was sent"
            return Failed(key, attempt, Failure(_caused(what, error.cause, RemoteError)))
        except ray_errors.RayError as error:
            return Failed(key, attempt, Failure(_caused("Ray failed", error, RemoteError)))
        finally:
            self._team.answered(member, ref)
        if isinstance(result, PackedFailure):
            result = result.unpack()
        return self._results.settle(key, attempt, result)


def _caused(
    what: str, cause: BaseException, kind: type[RemoteError | WorkerLostError]
) -> RemoteError | WorkerLostError:
    error = kind(f"{what}: {cause}")
    error.__cause__ = cause
    return error
