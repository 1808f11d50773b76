"""Loading epoch after epoch while hosts are killed, cut off, healed, added and drained, by a seeded schedule.

worker host:  joins ──► healthy ──kill──► gone
                          │ ▲ └──drain──► leaving ──its actors are done──► gone
                     cut off│ └─actor: one of its actors is killed
                          ▼ │
                         cut, till it heals
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
# How long a host that is drained may take to be let go of.
LEAVE_S = 30.0
# Ray counts a host among the dead that it has not heard of for some 15 s, and then its node ends
# itself; one that was cut off for half of that is not brought back.
FORGOTTEN_S = 8.0


@dataclass(frozen=True)
class Memory:
    """Megabytes at a time: private ones of the driver's process and of all actors, and of the head's object store."""

    at_s: float
    driver: float
    actors: float
    store: float


@dataclass
class Record:
    """What happened: how often each fault, the longest wait in each epoch, and the memory in between."""

    faults: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)


class Faults:
    """What happens to the hosts: by the seed, and for how long a host was cut off."""

    def __init__(self, hosts: Hosts, seed: int) -> None:
        self._hosts = hosts
        self._choice = random.Random(seed)
        self._healthy = list(hosts.workers)
        self._cut: list[tuple[float, Host]] = []
        self._to_come: list[str] = []

    def next_pause_s(self) -> float:
        return self._choice.uniform(1.0, 5.0)

    def happen(self) -> str:
        """Let one fault happen, and return its name."""
        possible: dict[str, Callable[[], None]] = {"actor": self._kill_actor}
        if self._cut:
            possible["heal"] = self._heal
        if len(self._healthy) > MIN_HEALTHY:
            possible |= {"kill": self._kill, "cut": self._cut_off, "leave": self._leave}
        if len(self._healthy) + len(self._cut) < MAX_HOSTS:
            possible["join"] = self._join
        # Each kind once before any comes again, as far as it can.
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
    """Load for so many seconds while faults happen; each epoch is compared with the serial one."""
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
