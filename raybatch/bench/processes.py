"""A process and its descendants: their resources, and how to end them."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import psutil

# Reading the CPU times of a tree takes about 5 ms, and its memory 2 ms for each process. At these
# intervals, each costs 2 % of a core.
PAUSE_S = 0.25
_PAUSE_PER_READING = 50

_EXIT_S = 3.0


class ProcessTree:
    """The process `pid` and all processes seen below it, even if their parents are gone."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._alive = {self._root}
        # Includes processes that have ended: Ray's raylet does not wait for its workers, so their
        # times are added to no parent's.
        self._cpu_s: dict[psutil.Process, float] = {}

    def cpu_seconds(self) -> float:
        """Return the CPU time, user and system, used so far."""
        self._look()
        for process in self._alive:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._cpu_s[process] = times.user + times.system
        return sum(self._cpu_s.values())

    def memory_bytes(self) -> int:
        """Return the current memory, as the sum of PSS.

        PSS counts a page that several processes share, such as one of a shared batch, only once.
        """
        self._look()
        return sum(_pss(process) for process in self._alive)

    def end(self) -> None:
        """Kill the processes that still run, and wait until they are gone."""
        self._look()
        for process in list(self._alive):
            self._add_children_of(process)
        trackers = {process for process in self._alive if _tracks_resources(process)}
        for process in self._alive - trackers:
            _kill(process)
        _, others = psutil.wait_procs(list(self._alive), timeout=_EXIT_S)
        for process in others:
            _kill(process)

    def _look(self) -> None:
        self._add_children_of(self._root)
        self._alive = {process for process in self._alive if process.is_running()}

    def _add_children_of(self, process: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            self._alive.update(process.children(recursive=True))


class Usage:
    """CPU time and peak memory of `tree` over time; call `sample` every `PAUSE_S` seconds."""

    def __init__(self, tree: ProcessTree) -> None:
        self.peak_bytes = 0
        self._tree = tree
        self._times: list[float] = []
        self._cpu_s: list[float] = []
        self._next_memory = 0.0

    def sample(self) -> None:
        """Sample the CPU times now, and the memory as often as its cost allows."""
        self._cpu_s.append(self._tree.cpu_seconds())
        now = time.perf_counter()
        self._times.append(now)
        if now >= self._next_memory:
            self.peak_bytes = max(self.peak_bytes, self._tree.memory_bytes())
            read = time.perf_counter()
            self._next_memory = read + _PAUSE_PER_READING * (read - now)

    def cpu_between(self, began: float, ended: float) -> float:
        """Return the CPU seconds used between two times of `time.perf_counter`.

        That clock is the same in all processes.
        """
        before, after = np.interp([began, ended], self._times, self._cpu_s)
        return float(after - before)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _tracks_resources(process: psutil.Process) -> bool:
    """Return whether this is Python's resource tracker.

    It unlinks shared memory when its owners are gone, and then ends.
    """
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
