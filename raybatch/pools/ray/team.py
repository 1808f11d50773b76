"""The actors of a pool: which there are, who is the least loaded, and their replacement."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
import uuid
import weakref
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import PoolError
from raybatch.pools.ray.capacity import ActorOptions, capacity
from raybatch.pools.ray.connection import RayConnection
from raybatch.pools.ray.failures import Kind, kind_of
from raybatch.pools.ray.host import OtherVersionError, WorkerFacts, why_not_started
from raybatch.pools.ray.member import RayMember, fastest_s
from raybatch.pools.ray.metrics import count_worker_death
from raybatch.pools.ray.worker import BatchWorker, RayConstant, packed, unpacked_error

_log = logging.getLogger(__name__)

# After so many actors that died while they started, one after the other, the next one is started later and
# later; and if no other is there for so many seconds, that is an error.
_MAX_FAILED_STARTS = 3
_MAX_DYING_S = 5.0
_MAX_START_DELAY_S = 30.0

# The part of the smallest object store that batches may fill: Ray begins to write to disk at 0.8.
_STORE_SHARE = 0.7
# It is for so many streams at least, such as those of training and validation.
_MIN_STREAMS = 2

# How long a worker may take to answer what is asked of each host.
_ANSWER_TIMEOUT_S = 60.0

# How often to ask Ray which hosts there are; it takes a millisecond.
_LOOK_EVERY_S = 1.0


def worker_class(options: ActorOptions) -> Any:
    """Return the class to start actors of."""
    # A Ray that knows no labels does not know the option either.
    labels = {"label_selector": options.label_selector} if options.label_selector else {}
    return ray.remote(BatchWorker).options(
        num_cpus=options.num_cpus,
        resources=options.resources,
        scheduling_strategy=options.scheduling_strategy,
        **labels,
        # Ray's own restarts and retries are off: a retry would go to the actor that failed.
        max_restarts=0,
        max_task_retries=0,
    )


class RayTeam:
    """Actors, each replaced when it dies: `num_actors`, or if that is None as many as the hosts have room for.

    Methods may be called from any thread.
    """

    # Whether the actors have other users than this process.
    is_shared = False

    def __init__(
        self,
        connection: RayConnection,
        num_actors: int | None,
        threads: int,
        options: ActorOptions,
        start_timeout_s: float,
    ) -> None:
        self._num_actors = num_actors
        self._connection = connection
        self._threads = threads
        self._start_timeout_s = start_timeout_s
        self._options = options
        # The keys of constants begin with it.
        self.user = uuid.uuid4().hex
        self._class = worker_class(options)
        self._numbers = itertools.count()
        self._members: list[RayMember] = []
        self._failed_starts = 0
        self._why_failed = ""
        self._start_not_before = 0.0
        self._none_up_since = time.monotonic()
        self._is_closed = False
        self._has_warned_of_size = False
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        # Reentrant, since the garbage collector may let a constant be forgotten in the middle of anything.
        self._lock = threading.RLock()
        self._look()
        self._start_missing()

    def check_open(self) -> None:
        """Raise PoolError if the pool is closed, or its Ray is gone."""
        if self._is_closed:
            raise PoolError("the pool is closed")
        if not self._connection.is_alive():
            raise PoolError("the Ray that the pool used was shut down by the program")

    @property
    def stream_bytes(self) -> int:
        """How many bytes of batches one stream may have in the object store, so that Ray writes none to disk."""
        streams = max(_MIN_STREAMS, len(self._sessions))
        return int(_STORE_SHARE * self.store_bytes / streams)

    def check_room(self, nbytes: int) -> None:
        """Say so, once, if a batch of `nbytes` bytes is more than a stream may have in the object store."""
        if nbytes > self.stream_bytes > 0 and not self._has_warned_of_size:
            self._has_warned_of_size = True
            _log.warning(
                "a batch of %.0f MB is larger than the %.0f MB that a stream may have of the object store "
                "(%.0f MB): batches are made one at a time, and Ray may write them to disk. Make smaller "
                "batches, or start Ray with a larger object_store_memory",
                *(size / 1e6 for size in (nbytes, self.stream_bytes, self.store_bytes)),
            )

    def opened(self, session: Any) -> None:
        """Take note that `session` uses the actors; for as long as it exists, or until `closed`."""
        self._sessions.add(session)

    def closed(self, session: Any) -> None:
        self._sessions.discard(session)

    def submit(self, member: RayMember, read: RayConstant, item: Any) -> Any:
        """Ask `member` to make `item`, and return the reference to the result.

        Calls reach an actor in the order in which they are made, so a constant it lacks is sent before.
        """
        with self._lock:
            data, constants = packed(item)
            for constant in (read, *constants):
                if constant.key not in member.kept:
                    member.actor.keep.remote(constant.key, [constant.ref])
                    member.kept.add(constant.key)
            ref = member.actor.make.remote(read.key, data)
            if not member.queue:
                member.heard_at = time.monotonic()
            member.queue[ref] = None
            return ref

    def on_each_host(self, read: RayConstant, item: Any) -> dict[str, Any]:
        """Return what a worker on each host answers when it is asked to make `item`, by the host's address.

        A host that gives no answer in time is left out, and logged.
        """
        with self._lock:
            members = {member.facts.host: member for member in self._live() if member.facts}
        asked = {host: self.submit(member, read, item) for host, member in members.items()}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_ANSWER_TIMEOUT_S)
        answers = {}
        for host, ref in asked.items():
            with contextlib.suppress(ray_errors.RayError):
                answer = ray.get(ref, timeout=0)
                answers[host] = unpacked_error(answer[0])
            self.answered(members[host], ref)
        if silent := sorted(set(asked) - set(answers)):
            _log.warning("no answer came from the hosts %s", ", ".join(silent))
        return answers

    def answered(self, member: RayMember, ref: Any) -> None:
        """Take note that the result of `ref` was seen, or that nobody waits for it any more."""
        with self._lock:
            if member.queue.pop(ref, self) is None:
                member.heard_at = time.monotonic()

    def starting(self) -> dict[Any, RayMember]:
        """Return the members that are not up yet, by the reference that tells when they are."""
        with self._lock:
            return {member.ready: member for member in self._members if not member.is_up}

    def settle_start(self, member: RayMember) -> None:
        """Take note that `member.ready` has an answer: it is up, or it died, or is not fit to work with."""
        try:
            facts = WorkerFacts.checked(ray.get(member.ready))
        except (ray_errors.RayError, OtherVersionError) as error:
            self._failed_to_start(member, error)
        else:
            with self._lock:
                member.facts = facts
                self._failed_starts = 0
                self._mark_leaving()

    def wait_until_up(self) -> None:
        """Wait until every member is up; PoolError if one is not within the time to start."""
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            self.check_open()
            due = self.fill_up()
            if len(self._live()) >= self.size:
                return
            starting = self.starting()
            timeout = max(0.0, min(deadline - time.monotonic(), due))
            up = wait_for_any(list(starting), timeout)
            for ref in up:
                self.settle_start(starting[ref])
            if not up and time.monotonic() >= deadline:
                raise self._start_timeout(self.size - len(self._live()))

    def fill_up(self) -> float:
        """Start the actors that are missing, and return in how many seconds to call this again.

        Those that are too many since a host left are let go of if they wait for a place, and those on a host that is
        to leave when they have answered.
        """
        with self._lock:
            if self._is_closed:
                return float("inf")
            now = time.monotonic()
            if now >= self._look_at:
                self._look()
            if len(self._staying()) < self.size and now >= self._start_not_before:
                self._start_missing()
            self._drop_waiting()
            leaving = [member for member in self._members if member.is_leaving and not member.queue]
            if leaving:
                live = self._live()
                for member in leaving:
                    if member not in live:
                        self._remove(member)
            return max(self._look_at, self._start_not_before) - now

    def seconds_to_start(self) -> float:
        """Return how long the first actor may still take; PoolError when that is over."""
        with self._lock:
            if self._live():
                return float("inf")
            left = self._none_up_since + self._start_timeout_s - time.monotonic()
        if left <= 0:
            raise self._start_timeout(self.size)
        return left

    def choose(self, avoid: frozenset[int], unfit: set[int], *, can_wait: bool) -> RayMember | None:
        """Return the least loaded live member that is not in `unfit`, and if possible not in `avoid`.

        If it `can_wait` for a place at another, it is no laggard either.
        """
        with self._lock:
            live = self._live()
            able = [member for member in live if member.number not in unfit]
            if can_wait and able:
                now, fastest = time.monotonic(), fastest_s(live)
                able = [member for member in able if not member.is_laggard(fastest, now)]
            able = [member for member in able if member.number not in avoid] or able
            return min(able, key=lambda member: len(member.queue), default=None)

    def replace(self, member: RayMember) -> None:
        """End `member`, if it is still one of the team, and start another in its place."""
        with self._lock:
            if member not in self._members or self._is_closed:
                return
            _log.warning(
                "actor %d of the pool is lost; another is started",
                member.number,
                extra={"worker": member.number},
            )
            count_worker_death()
            member.died_on = next(filter(_is_lost, list(member.queue)), None)
            member.is_gone = True
            self._remove(member)
            self.fill_up()

    def forget(self, key: str) -> None:
        """Let every actor that keeps the constant `key` forget it."""
        with self._lock:
            if self._is_closed or not self._connection.is_alive():
                return
            for member in self._members:
                if key in member.kept:
                    member.kept.discard(key)
                    member.actor.forget.remote(key)

    def close(self) -> None:
        """End all actors; may be called twice."""
        with self._lock:
            self._is_closed = True
            while self._members:
                self._remove(self._members[-1])

    def _failed_to_start(self, member: RayMember, error: Exception) -> None:
        with self._lock:
            if member not in self._members:
                return
            self._remove(member)
            self._failed_starts += 1
            why = why_not_started(error)
            if why != self._why_failed:
                _log.warning("an actor of the pool cannot be used: %s", why)
            self._why_failed = why
            now = time.monotonic()
            excess = self._failed_starts - _MAX_FAILED_STARTS
            if excess >= 0:
                if not self._live() and now >= self._none_up_since + _MAX_DYING_S:
                    raise PoolError(
                        f"{self._failed_starts} actors could not be used, one after the other; the last because: "
                        f"{self._why_failed}"
                    ) from error
                self._start_not_before = now + min(2.0 ** min(excess, 10), _MAX_START_DELAY_S)
            self.fill_up()

    def _remove(self, member: RayMember) -> None:
        self._members.remove(member)
        if member.is_up and not self._live():
            self._none_up_since = time.monotonic()
        if self._connection.is_alive():
            self._end(member)

    def _end(self, member: RayMember) -> None:
        ray.kill(member.actor)

    def _live(self) -> list[RayMember]:
        """Return the members that are up; those whose host leaves only if there are no others."""
        up = [member for member in self._members if member.is_up]
        return [member for member in up if not member.is_leaving] or up

    def _staying(self) -> list[RayMember]:
        return [member for member in self._members if not member.is_leaving]

    def _mark_leaving(self) -> None:
        for member in self._members:
            if member.facts and member.facts.node_id in self._leaving and not member.is_leaving:
                member.is_leaving = True
                self._retire(member)
                _log.info(
                    "host %s is to leave: actor %d gets no more batches",
                    member.facts.host,
                    member.number,
                    extra={"worker": member.number},
                )

    def _retire(self, member: RayMember) -> None:
        """Take note that another is to start in the place of `member`, which stays for as long as it is busy."""

    def _drop_waiting(self) -> None:
        waiting = [member for member in self._members if not member.is_up]
        while waiting and len(self._staying()) > self.size:
            self._remove(waiting.pop())

    def _look(self) -> None:
        """Ask which hosts there are."""
        found = capacity(self._options)
        self.size = self._num_actors or found.num_actors
        self.store_bytes = found.store_bytes
        self._leaving = found.leaving
        self._mark_leaving()
        self._look_at = time.monotonic() + _LOOK_EVERY_S

    def _start_missing(self) -> None:
        while len(self._staying()) < self.size:
            actor = self._class.remote(self._threads)
            self._members.append(RayMember(next(self._numbers), actor, actor.ready.remote()))

    def _start_timeout(self, missing: int) -> PoolError:
        total, free = ray.cluster_resources(), ray.available_resources()
        wanted = {"CPU": self._options.num_cpus, **self._options.resources}
        labels = self._options.label_selector
        offers = ", ".join(
            f"{total.get(name, 0):g} {name}, {free.get(name, 0):g} of it free" for name in wanted
        )
        asks = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        where = f" on a host with the labels {labels}" if labels else ""
        why = f". The last that could not be used: {self._why_failed}" if self._why_failed else ""
        return PoolError(
            f"{missing} of {self.size} actors did not start within {self._start_timeout_s:g} s. Each asks for "
            f"{asks}{where}; the cluster has {offers}. Ask for less, free some, or set start_timeout_s{why}"
        )


def wait_for_any(refs: list[Any], timeout_s: float) -> list[Any]:
    """Return those of `refs` that have ended, waiting until there is one; [] after `timeout_s`."""
    if not refs:
        time.sleep(timeout_s)  # `ray.wait` would not wait for nothing
        return []
    ended, _ = ray.wait(refs, num_returns=1, timeout=timeout_s)
    return list(ended)


def _is_lost(ref: Any) -> bool:
    """Return whether there is no result of `ref`, wherever it lies."""
    ready, _ = ray.wait([ref], timeout=0, fetch_local=False)
    if not ready:
        return True
    try:
        ray.get(ref, timeout=0)
    except ray_errors.RayError as error:
        return kind_of(error) in (Kind.WORKER_LOST, Kind.RESULT_LOST)
    return False
