"""The actors that this process uses. The crew starts them, and replaces those that are lost."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import PoolError
from raybatch.pools.forks import is_without_its_ray, without_ray
from raybatch.pools.ray.actors import RayActor
from raybatch.pools.ray.connection import RayConnection
from raybatch.pools.ray.failures import is_lost
from raybatch.pools.ray.hosts import (
    ActorOptions,
    OtherVersionError,
    SetupError,
    WorkerFacts,
    capacity,
)
from raybatch.pools.ray.metrics import count_worker_death
from raybatch.pools.ray.object_store import StoreShare
from raybatch.pools.ray.roster import Roster
from raybatch.pools.ray.starts import Starts
from raybatch.scheduling.placement import Placed, Workers

_log = logging.getLogger(__name__)

# How often to ask Ray for the hosts. It takes a millisecond.
_LOOK_EVERY_S = 1.0

# `ray.wait` refuses an infinite timeout, so this is the longest single wait.
_MAX_WAIT_S = 3600.0


class DeferringLock:
    """A reentrant lock that defers actions of the garbage collector until the lock is free.

    The garbage collector can run in a thread that holds the lock, between any two instructions. Its
    actions must not see the guarded state half changed.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._actions: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *exception: object) -> None:
        try:
            while self._depth == 1 and self._actions:
                self._actions.popleft()()
        finally:
            self._depth -= 1
            self._lock.release()

    def call_later(self, action: Callable[[], None]) -> None:
        """Call `action` while holding the lock: now, or just before this thread releases it."""
        with self:
            self._actions.append(action)


class Crew:
    """The actors on `roster`. A lost actor is replaced. `workers` holds those that are up.

    Any thread can call the methods. Use `workers` only `with crew.lock`.
    """

    def __init__(
        self,
        connection: RayConnection,
        roster: Roster,
        options: ActorOptions,
        start_timeout_s: float,
    ) -> None:
        self.roster = roster
        self.workers: Workers[RayActor] = Workers()
        self.store = StoreShare()
        self.lock = DeferringLock()
        self._connection = connection
        self._options = options
        self._starts = Starts(options, start_timeout_s)
        self._actors: list[RayActor] = []
        self._look_at = 0.0
        self._is_closed = False
        self.fill_up()

    def check_open(self) -> None:
        """Raise PoolError if the pool is closed or its Ray has ended."""
        if self._is_closed:
            raise PoolError("the pool is closed")
        if is_without_its_ray():
            raise without_ray()
        if not self._connection.is_alive():
            raise PoolError("the Ray that the pool used was shut down by the program")

    def fill_up(self, *, is_awaited: bool = False) -> float:
        """Start missing actors, and return after how many seconds to call this again.

        If an actor `is_awaited`, raise PoolError when none has started in time.

        Also end actors that are not needed any more: those on a leaving host once they have
        answered everything, and surplus ones that are still starting. The latter are left to the
        keeper if the roster is shared.
        """
        with self.lock:
            if self._is_closed:
                return float("inf")
            now = time.monotonic()
            is_due = now >= self._look_at
            if is_due:
                self._look()
            num_staying = sum(not actor.is_leaving for actor in self._actors)
            may_start = now >= self._starts.not_before
            if is_due or (may_start and num_staying < self.size):
                self._take_over(num_staying if may_start else None)
            if num_staying > self.size and not self.roster.is_shared:
                for actor in list(self._starting().values())[self.size - num_staying :]:
                    self._remove(actor)
            for actor in [own for own in self._actors if own.is_leaving and not own.queue]:
                if actor not in list(self.workers):
                    self._remove(actor)
            due_s = max(self._look_at, self._starts.not_before) - now
            if self.workers or not is_awaited:
                return due_s
        left_s = self._starts.left_s()
        if left_s <= 0:
            raise self._starts.timeout(self.size, self.size)
        return min(due_s, left_s)

    def wait_until_up(self) -> None:
        """Wait until every actor is up; raise PoolError if one is not up in time."""
        deadline = time.monotonic() + self._starts.timeout_s
        while True:
            self.check_open()
            due_s = self.fill_up()
            with self.lock:
                missing = self.size - len(list(self.workers))
                num_starting = len(self._starting())
            if missing <= 0:
                return
            self.wait_for_any([], min(deadline - time.monotonic(), due_s))
            if time.monotonic() >= deadline and len(self._starting()) == num_starting:
                raise self._starts.timeout(missing, self.size)

    def wait_for_any(self, refs: Iterable[Any], timeout_s: float) -> list[Any]:
        """Return those of `refs` that have ended.

        Wait until there is one, or until an actor is up, but no longer than `timeout_s`.
        """
        starting = self._starting()
        waited_for = [*refs, *starting]
        timeout_s = max(0.0, min(timeout_s, _MAX_WAIT_S))
        if not waited_for:
            time.sleep(timeout_s)  # `ray.wait` returns at once for an empty list
            return []
        ended, _ = ray.wait(waited_for, num_returns=1, timeout=timeout_s)
        for ref in ended:
            if ref in starting:
                self._settle_start(starting[ref])
        return [ref for ref in ended if ref not in starting]

    def replace(self, actor: RayActor) -> None:
        """End `actor`, if it is still in the crew, and start a new one in its place."""
        with self.lock:
            if actor not in self._actors or self._is_closed:
                return
            _log.warning(
                "actor %d of the pool is lost; a new one is started",
                actor.number,
                extra={"worker": actor.number},
            )
            count_worker_death()
            actor.died_on = next(filter(is_lost, actor.queue), None)
            actor.is_gone = True
            self._remove(actor)
            self.fill_up()

    def forget(self, key: str) -> None:
        """Make every actor that has the constant `key` drop it."""

        def tell() -> None:
            if not self._is_closed and self._connection.is_alive():
                for actor in self._actors:
                    actor.forget(key)

        # The garbage collector can call this while this thread holds the lock.
        self.lock.call_later(tell)

    def abandon(self, running: dict[Any, Placed[RayActor]]) -> None:
        """Record that nobody waits for the `running` attempts any more.

        The keys of `running` are the references to their results.
        """
        if self._is_closed or not self._connection.is_alive():
            return
        refs: defaultdict[RayActor, list[Any]] = defaultdict(list)
        for ref, placed in running.items():
            refs[placed.worker].append(ref)
        for actor, its_refs in refs.items():
            actor.hold_until_answered(its_refs)

    def close(self) -> None:
        """End all actors, or leave them to the other users of the pool; can be called twice."""
        with self.lock:
            if not self._is_closed and self._connection.is_alive():
                self.roster.close(self._actors)
            self._is_closed = True
            self._actors.clear()

    def _starting(self) -> dict[Any, RayActor]:
        """Return the actors that are not up yet, by their `ready` reference."""
        with self.lock:
            return {actor.ready: actor for actor in self._actors if not actor.is_up}

    def _settle_start(self, actor: RayActor) -> None:
        """Handle the answer of `actor.ready`: the actor is up, has died, or cannot be used."""
        answer: WorkerFacts | Exception
        try:
            answer = WorkerFacts.checked(ray.get(actor.ready))
        except (ray_errors.RayError, OtherVersionError, SetupError) as error:
            answer = error
        with self.lock:
            if actor not in self._actors or actor.is_up:
                return  # another thread has settled it
            if isinstance(answer, WorkerFacts):
                actor.facts = answer
                self.workers.add(actor)
                self._starts.succeeded()
                self._mark_leaving()
                return
            self._remove(actor)
            self._starts.failed(answer, is_one_up=bool(self.workers))
            self.fill_up()

    def _look(self) -> None:
        """Ask Ray for the hosts of the cluster."""
        self._found = capacity(self._options)
        self.store.store_bytes = self._found.store_bytes
        self._mark_leaving()
        self._look_at = time.monotonic() + _LOOK_EVERY_S

    def _take_over(self, num_staying: int | None) -> None:
        """Add the roster's new actors. The roster starts none if `num_staying` is None."""
        self.size, handles = self.roster.fill_up(self._found, num_staying)
        known = {actor.number for actor in self._actors}
        for number, handle in handles.items():
            if number not in known:
                self._actors.append(RayActor(number, handle=handle, ready=handle.ready.remote()))

    def _mark_leaving(self) -> None:
        for actor in self._actors:
            if actor.facts and actor.facts.node_id in self._found.leaving and not actor.is_leaving:
                self.workers.leave(actor)
                self.roster.retire(actor)
                _log.info(
                    "host %s is leaving: actor %d gets no more batches",
                    actor.facts.host,
                    actor.number,
                    extra={"worker": actor.number},
                )

    def _remove(self, actor: RayActor) -> None:
        self._actors.remove(actor)
        self.workers.remove(actor)
        if actor.is_up and not self.workers:
            self._starts.none_is_up()
        if self._connection.is_alive():
            self.roster.end(actor)
