"""A process and all that it has started: what they use, and how they end."""

from __future__ import annotations

from contextlib import suppress

import psutil

_EXIT_S = 3.0


class ProcessTree:
    """The process `pid` and all that were seen below it, those too whose parent is gone."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._alive = {self._root}
        # Of those too that have ended: Ray's raylet does not wait for its workers, so nobody inherits their time.
        self._cpu_s: dict[psutil.Process, float] = {}

    def cpu_seconds(self) -> float:
        """Return the CPU time, user and system, that they have used so far."""
        self._look()
        for process in self._alive:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._cpu_s[process] = times.user + times.system
        return sum(self._cpu_s.values())

    def memory_bytes(self) -> int:
        """Return the memory that they have now: the sum of PSS.

        PSS counts a page that several processes share, such as one of a shared batch, once in all.
        """
        self._look()
        return sum(_pss(process) for process in self._alive)

    def end(self) -> None:
        """Kill those that still run, and wait until they are gone."""
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


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _tracks_resources(process: psutil.Process) -> bool:
    """Return whether this is Python's helper that unlinks shared memory when its owners are gone, then ends."""
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
