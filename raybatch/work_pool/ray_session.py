"""A session whose attempts are calls of Ray actors, and whose results lie in Ray's object store."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.data_source import batch_nbytes
from raybatch.errors import RemoteError, WorkerLostError
from raybatch.scheduling import Completed, Failed
from raybatch.work_pool.pool import Call
from raybatch.work_pool.ray_team import LOST, RayMember, RayTeam
from raybatch.work_pool.ray_worker import PackedFailure, RayConstant
from raybatch.work_pool.session import Failure

# An actor has the next attempt at hand, and a slow one holds few.
_MIN_QUEUE_LENGTH = 2


class RaySession:
    """A `Session` on a team of actors. A result is mapped from the object store, not copied."""

    def __init__(self, pool: object, team: RayTeam, read: RayConstant) -> None:
        self._pool = pool  # the actors live while the pool does
        self._team = team
        self._read = read
        self._waiting: deque[tuple[int, int, Any, frozenset[int]]] = deque()
        self._running: dict[Any, tuple[int, int, RayMember]] = {}
        self._queued: Counter[int] = Counter()
        self._results: dict[tuple[int, int], Any] = {}

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        self._waiting.append((key, attempt, item, avoid))
        self._dispatch()

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._team.check_open()
            starting = self._team.starting()
            patience_s = self._team.seconds_to_start() if self._waiting else float("inf")
            timeout = max(0.0, min(deadline - time.monotonic(), patience_s))
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

    def fetch(self, key: int, attempt: int) -> Any:
        return self._results.pop((key, attempt))

    def discard(self, key: int, attempt: int) -> None:
        self._results.pop((key, attempt), None)

    def close(self) -> None:
        # Attempts under way run to their end: `ray.cancel` leaves a gap in an actor's sequence of calls, for
        # which the actor then waits 30 s (Ray 2.60). Their results are freed as they come.
        for ref, (_, _, member) in self._running.items():
            del member.queue[ref]
        self._running.clear()
        self._waiting.clear()
        self._queued.clear()
        self._results.clear()

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
        member.keep(self._read)
        if isinstance(item, Call):
            for constant in item.constants():
                member.keep(constant)
        ref = member.actor.make.remote(self._read.key, item)
        self._running[ref] = (key, attempt, member)
        member.queue[ref] = None
        self._queued[member.number] += 1

    def _finish(self, ref: Any) -> Completed | Failed:
        key, attempt, member = self._running.pop(ref)
        self._queued[member.number] -= 1
        try:
            result = ray.get(ref)
        except LOST as error:
            self._team.replace(member)
            begun = member.died_on in (ref, None)
            lost = WorkerLostError(f"the actor, its host or its result was lost: {error}")
            lost.__cause__ = error
            return Failed(key, attempt, Failure(lost), lost=True, begun=begun, worker=member.number)
        except ray_errors.RayTaskError as error:
            failed = RemoteError(f"the result of a worker cannot be sent: {error.cause}")
            failed.__cause__ = error
            return Failed(key, attempt, Failure(failed))
        except ray_errors.RayError as error:
            failed = RemoteError(f"Ray failed: {error}")
            failed.__cause__ = error
            return Failed(key, attempt, Failure(failed))
        finally:
            del member.queue[ref]
        if isinstance(result, PackedFailure):
            return Failed(key, attempt, result.unpack())
        self._results[key, attempt] = result
        return Completed(key, attempt, batch_nbytes(result))
