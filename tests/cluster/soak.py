"""Loading while a seeded schedule kills, cuts off, heals, adds and drains hosts.

worker host:  joins ──► healthy ──kill──► gone
                          │ ▲ └──drain──► leaving ──its actors are done──► gone
                     cut off│ └─actor: one of its actors is killed
                          ▼ │
                         cut, until it heals
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from cluster.hosts import Host, Hosts
from tests.cluster.host_loading import Loading
from tests.drivers import is_actor, wait_for

KINDS = ["actor", "cut", "heal", "join", "kill", "leave"]
MAX_HOSTS = 4
MIN_HEALTHY = 2
# The most seconds that the actors of a drained host may take to end.
LEAVE_S = 30.0
# Ray declares a host dead after about 15 s without contact, and the host's node then ends itself. A
# host that was cut off for longer than half of that time is killed after it heals.
FORGOTTEN_S = 8.0


@dataclass(frozen=True)
class Memory:
    """Memory in MB at one time, of the driver, of all actors and of the head's object store.

    `driver` and `actors` count private memory only.
    """

    at_s: float
    driver: float
    actors: float
    store: float


@dataclass
class Record:
    """The count of each kind of fault, the longest wait of each epoch, and samples of memory."""

    faults: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)


class Faults:
    """A seeded choice of faults, with lists of the hosts that are healthy or cut off."""

    def __init__(self, hosts: Hosts, seed: int) -> None:
        self._hosts = hosts
        self._choice = random.Random(seed)
        self._healthy = list(hosts.workers)
        self._cut: list[tuple[float, Host]] = []
        self._to_come: list[str] = []

    def next_pause_s(self) -> float:
        return self._choice.uniform(1.0, 5.0)

    def happen(self) -> str:
        """Cause one fault, and return its name."""
        possible: dict[str, Callable[[], None]] = {"actor": self._kill_actor}
        if self._cut:
            possible["heal"] = self._heal
        if len(self._healthy) > MIN_HEALTHY:
            possible |= {"kill": self._kill, "cut": self._cut_off, "leave": self._leave}
        if len(self._healthy) + len(self._cut) < MAX_HOSTS:
            possible["join"] = self._join
        # Each kind comes once before any kind comes again, as far as possible.
        names = [name for name in self._to_come if name in possible]
        if not names:
            self._to_come = self._choice.sample(KINDS, len(KINDS))
            names = [name for name in self._to_come if name in possible]
        self._to_come.remove(names[0])
        possible[names[0]]()
        return names[0]

    def _take(self) -> Host:
        return self._healthy.pop(self._choice.randrange(len(self._healthy)))

    def _kill(self) -> None:
        self._take().kill()

    def _cut_off(self) -> None:
        host = self._take()
        host.cut_off()
        self._cut.append((time.monotonic(), host))

    def _heal(self) -> None:
        cut_at, host = self._cut.pop(0)
        host.heal()
        if time.monotonic() - cut_at > FORGOTTEN_S:
            host.kill()
        else:
            self._healthy.append(host)

    def _leave(self) -> None:
        host = self._take()
        self._hosts.drain(host)
        wait_for(lambda: not any(actors_on(host)), "the actors of a drained host end", LEAVE_S)
        host.kill()

    def _join(self) -> None:
        self._healthy.append(self._hosts.add())

    def _kill_actor(self) -> None:
        actors = list(actors_on(self._choice.choice(self._healthy)))
        if actors:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._choice.choice(actors).kill()


def actors_on(host: Host) -> Iterator[psutil.Process]:
    """Iterate over the raybatch actors on `host`."""
    for pid in host.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if is_actor(process):
                yield process


def soak(hosts: Hosts, loads: Loading, seconds: float, seed: int) -> Record:
    """Load for `seconds` while faults happen, and compare each epoch with a serial loader's."""
    record, over, began = Record(), threading.Event(), time.monotonic()
    failures: list[BaseException] = []

    def load() -> None:
        try:
            record.waits.append(float(loads.rest_of_epoch()["longest"]))
            while not over.is_set():
                loads.next_epoch()
                record.waits.append(float(loads.rest_of_epoch()["longest"]))
        except BaseException as error:
            failures.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        faults = Faults(hosts, seed)
        while time.monotonic() - began < seconds and not failures:
            over.wait(faults.next_pause_s())
            record.faults[faults.happen()] += 1
            record.memory.append(_memory(hosts, loads, time.monotonic() - began))
    finally:
        over.set()
        loading.join()
    for failure in failures:
        raise failure
    return record


def _memory(hosts: Hosts, loads: Loading, at_s: float) -> Memory:
    actors = sum(_private(process) for host in hosts.workers for process in actors_on(host))
    store = sum(
        process.memory_info().shared
        for process in map(psutil.Process, hosts.head.pids())
        if process.name() == "raylet"
    )
    return Memory(
        at_s, _private(psutil.Process(loads.driver.process.pid)) / 1e6, actors / 1e6, store / 1e6
    )


def _private(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0
