"""A pool of simulated workers, on simulated hosts that fail at given times."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybatch.errors import PoolError, WorkerLostError
from raybatch.making.make import make
from raybatch.making.request import Request, Result
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import HandOver, Results
from raybatch.scheduling.messages import Completed, Failed, Silent
from raybatch.scheduling.placement import Attempt, Placement, Worker, Workers
from raybatch.scheduling.settings import Prefetch
from raybatch.sources.source import DataSource


@dataclass(frozen=True)
class HostDies:
    """At `at_s` seconds, all workers of `host` die, and the pool notices it at once.

    The host is back `back_s` seconds later.
    """

    at_s: float
    host: int
    back_s: float = float("inf")


@dataclass(frozen=True)
class HostCutOff:
    """From `at_s` seconds on, `host` cannot be reached; `heals_s` seconds later it is back."""

    at_s: float
    host: int
    heals_s: float = float("inf")


@dataclass(frozen=True)
class HostSlow:
    """From `at_s` seconds on, the workers of `host` take `factor` times as long."""

    at_s: float
    host: int
    factor: float


Fault = HostDies | HostCutOff | HostSlow


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of simulated workers.

    The median duration of a batch is `seconds`, with a lognormal spread of `sigma`. A result is
    lost with the probability `loss`, and arrives twice with the probability `duplicate`. A worker
    takes `start_s` seconds to start.
    """

    seconds: float = 0.1
    sigma: float = 0.3
    loss: float = 0.0
    duplicate: float = 0.0
    start_s: float = 1.0


class SimulatedPool(WorkerPool):
    """A pool that makes real batches on simulated workers, in simulated time.

    Its `num_workers` workers are spread over `num_hosts` hosts, which fail as `faults` says. So it
    shows how a program, or the scheduler, copes with the failures of a cluster. All randomness
    derives from `seed`.

    Each stream starts its own simulation at time 0. Simulated time stands still while the consumer
    works. `elapsed_s` is the simulated time of the stream that waited last.
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

    def open(self, source: Any) -> SimulatedSession:
        if self._is_closed:
            raise PoolError("the pool is closed")
        return SimulatedSession(self, source)

    def default_prefetch(self) -> Prefetch:
        return Prefetch.for_workers(self.num_workers)

    def close(self) -> None:
        """Refuse further streams."""
        self._is_closed = True


@dataclass(slots=True)
class _Host:
    is_up: bool = True
    is_cut_off: bool = False
    factor: float = 1.0
    # The reports of its workers while the host is cut off; they arrive when it is back.
    unheard: list[Callable[[], None]] = field(default_factory=list)


@dataclass(eq=False)
class SimulatedWorker(Worker):
    """A worker on `host`. Its queue holds names of attempts: (key, number of the attempt)."""

    host: _Host = field(default_factory=_Host)


class SimulatedSession:
    """A `Session` whose `wait` lets simulated time pass."""

    hand_over = HandOver()

    def __init__(self, pool: SimulatedPool, source: DataSource) -> None:
        self.now = 0.0
        self._pool = pool
        self._source = source
        self._behaviour = pool.behaviour
        self._random = random.Random(pool.seed)
        self._hosts = [_Host() for _ in range(pool.num_hosts)]
        self._numbers = itertools.count()
        self._workers: dict[int, SimulatedWorker] = {}
        self._by_load: Workers[SimulatedWorker] = Workers()
        self._placement = Placement(self._by_load)
        self._requests: dict[tuple[int, int], Request] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._events: list[Completed | Failed] = []
        self._results = Results()
        self.fetch, self.discard = self._results.fetch, self._results.discard
        for position in range(pool.num_workers):
            self._start_worker(self._hosts[position % pool.num_hosts])
        for fault in pool.faults:
            self._at(fault.at_s, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def clock(self) -> float:
        return self.now

    def submit(self, key: int, attempt: int, request: Request, avoid: frozenset[int]) -> None:
        self._placement.add(Attempt(key, attempt, request, avoid))
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
        self._pool.elapsed_s = self._placement.listened_s = self.now
        events, self._events = self._events, []
        return events

    def silent(self) -> tuple[Silent, ...]:
        return self._placement.silent(self.now)

    def kill(self, worker: int) -> None:
        self._end(self._workers[worker])

    def close(self) -> None:
        self._agenda.clear()
        self._placement.close(self.now)
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
        worker = SimulatedWorker(next(self._numbers), self.now, host=host)
        self._workers[worker.number] = worker
        self._by_load.add(worker)

    def _replace(self) -> None:
        able = [host for host in self._hosts if host.is_up and not host.is_cut_off]
        if able:
            self._start_worker(self._random.choice(able))
        else:
            self._at(self.now + self._behaviour.start_s, self._replace)

    def _end(self, worker: SimulatedWorker) -> None:
        """End `worker`. Its attempts are lost; only the first attempt in its queue had begun."""
        del self._workers[worker.number]
        self._by_load.remove(worker)
        for place, name in enumerate(list(worker.queue)):
            self._lose(name, worker, begun=place == 0)
        self._at(self.now + self._behaviour.start_s, self._replace)

    def _lose(self, name: tuple[int, int], worker: SimulatedWorker, *, begun: bool) -> None:
        self._placement.ended(name, self.now)
        del self._requests[name]
        reason = Result(error=WorkerLostError(f"worker {worker.number} or its result was lost"))
        lost = Failed(*name, reason, lost=True, begun=begun, worker=worker.number)
        self._events.append(lost)

    def _dispatch(self) -> None:
        for attempt, worker in self._placement.places(self._pool.num_workers, self.now):
            name = attempt.key, attempt.attempt
            self._requests[name] = attempt.request
            self._placement.took_up(attempt, worker, name, self.now)
            if len(worker.queue) == 1:
                self._begin(worker)

    def _begin(self, worker: SimulatedWorker) -> None:
        spread = self._random.lognormvariate(0.0, self._behaviour.sigma)
        seconds = self._behaviour.seconds * spread * worker.host.factor
        self._at(self.now + seconds, lambda: self._made(worker, seconds))

    def _made(self, worker: SimulatedWorker, seconds: float) -> None:
        if worker.number not in self._workers:
            return
        if worker.host.is_cut_off:
            worker.host.unheard.append(lambda: self._made(worker, seconds))
            return
        name = next(iter(worker.queue))
        if self._random.random() < self._behaviour.loss:
            self._lose(name, worker, begun=True)
        else:
            self._placement.ended(name, self.now, seconds)
            result = make(self._source, self._requests.pop(name))
            event = self._results.settle(name[0], name[1], result, seconds)
            copies = 2 if self._random.random() < self._behaviour.duplicate else 1
            self._events.extend([event] * copies)
        if worker.queue:
            self._begin(worker)
