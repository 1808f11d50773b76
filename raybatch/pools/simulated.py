"""A pool of workers that exist in simulated time only, on hosts that fail as they are told to."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybatch.errors import PoolError, WorkerLostError
from raybatch.pools.pool import AbstractWorkerPool
from raybatch.pools.session import Failure, HandOver, Read, Results, result_of
from raybatch.scheduling import Completed, Failed, Prefetch, Silent

# A worker has the next attempt at hand.
_QUEUE_LENGTH = 2


@dataclass(frozen=True)
class HostDies:
    """At `at_s` seconds all workers of `host` die, and it is seen at once; after `back_s` the host is back."""

    at_s: float
    host: int
    back_s: float = float("inf")


@dataclass(frozen=True)
class HostCutOff:
    """From `at_s` on nothing is heard of `host`, until it heals after `heals_s` seconds."""

    at_s: float
    host: int
    heals_s: float = float("inf")


@dataclass(frozen=True)
class HostSlow:
    """From `at_s` on the workers of `host` take `factor` times as long."""

    at_s: float
    host: int
    factor: float


Fault = HostDies | HostCutOff | HostSlow


@dataclass(frozen=True)
class Behaviour:
    """How simulated workers behave.

    A batch takes `seconds` in the median, with a lognormal spread of `sigma`; a result gets lost with the
    probability `loss`, and comes twice with the probability `duplicate`. Starting a worker takes `start_s`.
    """

    seconds: float = 0.1
    sigma: float = 0.3
    loss: float = 0.0
    duplicate: float = 0.0
    start_s: float = 1.0


class SimulatedPool(AbstractWorkerPool):
    """Makes real batches on `num_workers` simulated workers, spread over `num_hosts`, in simulated time.

    It shows how a program, or the scheduler, bears what a cluster may do to it: `faults` happen at their
    times. All randomness derives from `seed`. A stream on it begins a simulation of its own at time 0, and
    simulated time stands still while the consumer works; `elapsed_s` is that of the stream that waited last.
    """

    def __init__(
        self,
        num_workers: int,
        *,
        num_hosts: int = 1,
        seed: int = 0,
        behaviour: Behaviour | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        if not num_workers >= num_hosts >= 1:
            raise ValueError(f"need num_workers >= num_hosts >= 1, not {num_workers}, {num_hosts}")
        for fault in faults:
            if not 0 <= fault.host < num_hosts:
                raise ValueError(f"there is no host {fault.host} of {num_hosts}: {fault}")
        self.num_workers, self.num_hosts, self.seed = num_workers, num_hosts, seed
        self.behaviour = Behaviour() if behaviour is None else behaviour
        self.faults = tuple(faults)
        self.elapsed_s = 0.0
        self._is_closed = False

    def open(self, read: Any) -> SimulatedSession:
        if self._is_closed:
            raise PoolError("the pool is closed")
        return SimulatedSession(self, read)

    def default_prefetch(self) -> Prefetch:
        return Prefetch(batches=2 * self.num_workers + 2)

    def close(self) -> None:
        """Refuse further streams."""
        self._is_closed = True


@dataclass(slots=True)
class _Host:
    is_up: bool = True
    is_cut_off: bool = False
    factor: float = 1.0
    # What its workers would have said while it was cut off.
    unheard: list[Callable[[], None]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Worker:
    number: int
    host: _Host
    heard_at: float
    is_live: bool = True
    queue: deque[tuple[int, int, Any]] = field(default_factory=deque)


class SimulatedSession:
    """A `Session` whose `wait` lets simulated time pass."""

    hand_over = HandOver()

    def __init__(self, pool: SimulatedPool, read: Read) -> None:
        self.now = 0.0
        self._pool = pool
        self._read = read
        self._behaviour = pool.behaviour
        self._random = random.Random(pool.seed)
        self._hosts = [_Host() for _ in range(pool.num_hosts)]
        self._numbers = itertools.count()
        self._workers: dict[int, _Worker] = {}
        # Live workers by (length of the queue, number); entries that are out of date are skipped.
        self._idle: list[tuple[int, int]] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, Any, frozenset[int]]] = []
        self._events: list[Completed | Failed] = []
        self._results = Results()
        self.fetch, self.discard = self._results.fetch, self._results.discard
        for position in range(pool.num_workers):
            self._start_worker(self._hosts[position % pool.num_hosts])
        for fault in pool.faults:
            self._at(fault.at_s, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def clock(self) -> float:
        return self.now

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        heapq.heappush(self._waiting, (key, attempt, item, avoid))
        self._dispatch()

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        deadline = self.now + timeout_s
        while not self._events:
            if not self._agenda or self._agenda[0][0] > deadline:
                self.now = deadline
                break
            self.now, _, action = heapq.heappop(self._agenda)
            action()
            self._dispatch()
        self._pool.elapsed_s = self.now
        events, self._events = self._events, []
        return events

    def silent(self) -> tuple[Silent, ...]:
        return tuple(
            Silent(key, attempt, worker.number, self.now - worker.heard_at)
            for worker in self._workers.values()
            for key, attempt, _ in worker.queue
        )

    def kill(self, worker: int) -> None:
        self._end(self._workers[worker])

    def close(self) -> None:
        self._agenda.clear()
        self._waiting.clear()
        self._results.clear()

    def _at(self, time_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time_s, next(self._order), action))

    def _strike(self, fault: Fault) -> None:
        host = self._hosts[fault.host]
        match fault:
            case HostSlow():
                host.factor = fault.factor
            case HostCutOff():
                host.is_cut_off = True
                self._at(self.now + fault.heals_s, lambda: self._heal(host))
            case HostDies():
                host.is_up = False
                self._at(self.now + fault.back_s, lambda: setattr(host, "is_up", True))
                for worker in [own for own in self._workers.values() if own.host is host]:
                    self._end(worker)

    def _heal(self, host: _Host) -> None:
        host.is_cut_off = False
        unheard, host.unheard = host.unheard, []
        for say in unheard:
            say()

    def _start_worker(self, host: _Host) -> None:
        worker = _Worker(next(self._numbers), host, self.now)
        self._workers[worker.number] = worker
        heapq.heappush(self._idle, (0, worker.number))

    def _replace(self) -> None:
        able = [host for host in self._hosts if host.is_up and not host.is_cut_off]
        if able:
            self._start_worker(self._random.choice(able))
        else:
            self._at(self.now + self._behaviour.start_s, self._replace)

    def _end(self, worker: _Worker) -> None:
        """End `worker`; its attempts are lost, and only the first of them had begun."""
        worker.is_live = False
        del self._workers[worker.number]
        for place, (key, attempt, _) in enumerate(worker.queue):
            self._lose(key, attempt, worker, begun=place == 0)
        worker.queue.clear()
        self._at(self.now + self._behaviour.start_s, self._replace)

    def _lose(self, key: int, attempt: int, worker: _Worker, *, begun: bool) -> None:
        reason = Failure(WorkerLostError(f"worker {worker.number} or its result was lost"))
        lost = Failed(key, attempt, reason, lost=True, begun=begun, worker=worker.number)
        self._events.append(lost)

    def _dispatch(self) -> None:
        put_back = []
        while self._waiting:
            attempt = heapq.heappop(self._waiting)
            worker = self._choose(attempt[0], attempt[3]) if attempt[1] else self._least_loaded()
            if worker is not None:
                self._give(worker, attempt[:3])
                continue
            put_back.append(attempt)
            if not attempt[1]:
                break
        for attempt in put_back:
            heapq.heappush(self._waiting, attempt)

    def _least_loaded(self) -> _Worker | None:
        while self._idle:
            length, number = self._idle[0]
            worker = self._workers.get(number)
            if worker is not None and len(worker.queue) == length:
                return worker
            heapq.heappop(self._idle)
        return None

    def _choose(self, key: int, avoid: frozenset[int]) -> _Worker | None:
        """Return the least loaded worker that has no attempt of batch `key`, if possible not in `avoid`."""
        able = [
            worker
            for worker in self._workers.values()
            if len(worker.queue) < _QUEUE_LENGTH and all(own != key for own, _, _ in worker.queue)
        ]
        able = [worker for worker in able if worker.number not in avoid] or able
        return min(able, key=lambda worker: len(worker.queue), default=None)

    def _give(self, worker: _Worker, task: tuple[int, int, Any]) -> None:
        worker.queue.append(task)
        if len(worker.queue) == 1:
            worker.heard_at = self.now
            self._begin(worker)
        self._note_load(worker)

    def _note_load(self, worker: _Worker) -> None:
        if len(worker.queue) < _QUEUE_LENGTH:
            heapq.heappush(self._idle, (len(worker.queue), worker.number))

    def _begin(self, worker: _Worker) -> None:
        spread = self._random.lognormvariate(0.0, self._behaviour.sigma)
        seconds = self._behaviour.seconds * spread * worker.host.factor
        self._at(self.now + seconds, lambda: self._made(worker, seconds))

    def _made(self, worker: _Worker, seconds: float) -> None:
        if not worker.is_live:
            return
        if worker.host.is_cut_off:
            worker.host.unheard.append(lambda: self._made(worker, seconds))
            return
        key, attempt, item = worker.queue.popleft()
        worker.heard_at = self.now
        if self._random.random() < self._behaviour.loss:
            self._lose(key, attempt, worker, begun=True)
        else:
            event = self._results.settle(key, attempt, result_of(self._read, item), seconds)
            copies = 2 if self._random.random() < self._behaviour.duplicate else 1
            self._events.extend([event] * copies)
        if worker.queue:
            self._begin(worker)
        self._note_load(worker)
