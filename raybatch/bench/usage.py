"""What a process tree uses over time, sampled from outside of it."""

from __future__ import annotations

import time

import numpy as np

from raybatch.bench.processes import ProcessTree

# Reading the CPU times of a tree takes about 5 ms, its memory 2 ms for each process: this often takes a
# fiftieth of a core each.
PAUSE_S = 0.25
_PAUSE_PER_READING = 50


class Usage:
    """CPU time and peak memory of `tree`; call `sample` every `PAUSE_S` seconds."""

    def __init__(self, tree: ProcessTree) -> None:
        self.peak_bytes = 0
        self._tree = tree
        self._times: list[float] = []
        self._cpu_s: list[float] = []
        self._next_memory = 0.0

    def sample(self) -> None:
        """Look at the CPU times now, and at the memory as often as its cost allows."""
        self._cpu_s.append(self._tree.cpu_seconds())
        now = time.perf_counter()
        self._times.append(now)
        if now >= self._next_memory:
            self.peak_bytes = max(self.peak_bytes, self._tree.memory_bytes())
            read = time.perf_counter()
            self._next_memory = read + _PAUSE_PER_READING * (read - now)

    def cpu_between(self, began: float, ended: float) -> float:
        """Return the CPU seconds used between two times of `time.perf_counter`, the same clock in every process."""
        before, after = np.interp([began, ended], self._times, self._cpu_s)
        return float(after - before)
