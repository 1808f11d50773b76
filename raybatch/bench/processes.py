"""A process and all that it has started: what they use, and how they end."""

from __future__ import annotations

from contextlib import suppress

import psutil

_EXIT_S = 3.0


def cpu_seconds() -> float:
    """Return the CPU time, user and system, of this process and all below it, ended ones too."""
    me = psutil.Process()
    return sum(_cpu_seconds(process) for process in [me, *me.children(recursive=True)])


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        # A process that has ended counts as its parent's child time.
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


class ProcessTree:
    """The process `pid` and all that were seen below it, those too whose parent is gone."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seen: set[psutil.Process] = {self._root}

    def memory_bytes(self) -> int:
        """Return the memory that they have now: the sum of PSS.

        PSS counts a page that several processes share, such as one of a shared batch, once in all.
        """
        self._look()
        return sum(_pss(process) for process in self._seen)

    def end(self) -> None:
        """Kill those that still run, and wait until they are gone."""
        self._look()
        trackers = {process for process in self._seen if _tracks_resources(process)}
        for process in self._seen - trackers:
            _kill(process)
        _, alive = psutil.wait_procs(list(self._seen), timeout=_EXIT_S)
        for process in alive:
            _kill(process)

    def _look(self) -> None:
        for process in list(self._seen):
            with suppress(psutil.NoSuchProcess):
                self._seen.update(process.children(recursive=True))
        self._seen = {process for process in self._seen if process.is_running()}


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
