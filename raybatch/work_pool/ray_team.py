"""The actors of a pool: which there are, who is the least loaded, and their replacement."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import ray

from raybatch.errors import PoolError
from raybatch.work_pool.ray_worker import BatchWorker, RayConstant
from raybatch.work_pool.session import SharedConstant

_log = logging.getLogger(__name__)

# What Ray raises when a worker, its host or its result is gone, and the batch can be made elsewhere.
LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectLostError,
)

# Actors that die while they start, one after the other, before the pool gives up.
_MAX_FAILED_STARTS = 3


@dataclass(frozen=True)
class ActorOptions:
    """What Ray is asked for, for each actor."""

    num_cpus: float
    resources: dict[str, float]
    scheduling_strategy: Any


@dataclass(eq=False)
class RayMember:
    """One actor, and the references to what it was asked and has not been seen to answer, oldest first.

    `died_on` is the one that it was busy with when it died.
    """

    number: int
    actor: Any
    ready: Any
    is_up: bool = False
    queue: dict[Any, None] = field(default_factory=dict)
    died_on: Any = None
    kept: set[str] = field(default_factory=set)

    def keep(self, constant: SharedConstant) -> None:
        """Send a constant, unless this actor has it; calls reach an actor in the order they are made."""
        if isinstance(constant, RayConstant) and constant.key not in self.kept:
            self.kept.add(constant.key)
            self.actor.keep.remote(constant.key, [constant.ref])


class RayTeam:
    """`size` actors, each replaced when it dies. Methods may be called from any thread."""

    def __init__(
        self, size: int, threads: int, options: ActorOptions, start_timeout_s: float
    ) -> None:
        self.size = size
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._options = options
        # Ray's own restarts and retries are off: a retry would go to the actor that failed.
        self._class: Any = ray.remote(BatchWorker).options(
            num_cpus=options.num_cpus,
            resources=options.resources,
            scheduling_strategy=options.scheduling_strategy,
            max_restarts=0,
            max_task_retries=0,
        )
        self._numbers = itertools.count()
        self._members: list[RayMember] = []
        self._failed_starts = 0
        self._idle_since = time.monotonic()
        self._is_closed = False
        self._lock = threading.RLock()
        for _ in range(size):
            self._start_one()

    def check_open(self) -> None:
        if self._is_closed:
            raise PoolError("the pool is closed")

    def starting(self) -> dict[Any, RayMember]:
        """Return the members that are not up yet, by the reference that tells when they are."""
        with self._lock:
            return {member.ready: member for member in self._members if not member.is_up}

    def settle_start(self, member: RayMember) -> None:
        """Take note that `member.ready` has an answer: it is up, or it died and another is started."""
        try:
            ray.get(member.ready)
        except ray.exceptions.RayError as error:
            with self._lock:
                self._failed_starts += 1
                if self._failed_starts >= _MAX_FAILED_STARTS and not self._live():
                    raise PoolError(
                        f"{self._failed_starts} actors died while they started, one after the other; "
                        "the last because: " + str(error)
                    ) from error
            self.replace(member)
        else:
            with self._lock:
                member.is_up = True
                self._failed_starts = 0

    def wait_until_up(self) -> None:
        """Wait until every member is up; PoolError if one is not within `start_timeout_s`."""
        deadline = time.monotonic() + self._start_timeout_s
        while starting := self.starting():
            self.check_open()
            left = deadline - time.monotonic()
            up, _ = ray.wait(list(starting), num_returns=1, timeout=max(0.0, left))
            for ref in up:
                self.settle_start(starting[ref])
            if not up:
                raise self._start_timeout(len(starting))

    def seconds_to_start(self) -> float:
        """Return how long the first actor may still take; PoolError when that is over."""
        with self._lock:
            if self._live():
                return float("inf")
            left = self._idle_since + self._start_timeout_s - time.monotonic()
        if left <= 0:
            raise self._start_timeout(self.size)
        return left

    def choose(self, avoid: frozenset[int], full: set[int]) -> RayMember | None:
        """Return the least loaded live member that is not in `full`, and if possible not in `avoid`."""
        with self._lock:
            self.check_open()
            able = [member for member in self._live() if member.number not in full]
            able = [member for member in able if member.number not in avoid] or able
            return min(able, key=_load_of, default=None)

    def replace(self, member: RayMember) -> None:
        """End `member`, if it is still one of the team, and start another in its place."""
        with self._lock:
            if member not in self._members or self._is_closed:
                return
            self._members.remove(member)
            _log.warning("actor %d of the pool is lost; another is started", member.number)
            member.died_on = next(filter(_is_lost, member.queue), None)
            _kill(member)
            if not self._live():
                self._idle_since = time.monotonic()
            self._start_one()

    def forget(self, key: str) -> None:
        """Let every actor that keeps the constant `key` forget it."""
        with self._lock:
            if self._is_closed or not ray.is_initialized():
                return
            for member in self._members:
                if key in member.kept:
                    member.kept.discard(key)
                    member.actor.forget.remote(key)

    def close(self) -> None:
        """End all actors; may be called twice."""
        with self._lock:
            self._is_closed = True
            for member in self._members:
                _kill(member)
            self._members.clear()

    def _live(self) -> list[RayMember]:
        return [member for member in self._members if member.is_up]

    def _start_timeout(self, missing: int) -> PoolError:
        total, free = ray.cluster_resources(), ray.available_resources()
        wanted = {"CPU": self._options.num_cpus, **self._options.resources}
        offers = ", ".join(
            f"{total.get(name, 0):g} {name}, {free.get(name, 0):g} of it free" for name in wanted
        )
        asks = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        return PoolError(
            f"{missing} of {self.size} actors did not start within {self._start_timeout_s:g} s. Each asks for "
            f"{asks}; the cluster has {offers}. Ask for less, free some, or set start_timeout_s"
        )

    def _start_one(self) -> None:
        actor = self._class.remote(self._threads)
        self._members.append(RayMember(next(self._numbers), actor, actor.ready.remote()))


def _load_of(member: RayMember) -> int:
    return len(member.queue)


def _is_lost(ref: Any) -> bool:
    try:
        ray.get(ref, timeout=0)
    except LOST:
        return True
    except ray.exceptions.GetTimeoutError:
        return True
    except ray.exceptions.RayError:
        pass
    return False


def _kill(member: RayMember) -> None:
    if ray.is_initialized():
        ray.kill(member.actor)
