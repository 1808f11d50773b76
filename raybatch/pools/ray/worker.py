"""The code that runs in a Ray actor: it makes batches from the constants that it was sent."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from raybatch.accessors.reading import row_executor
from raybatch.making.make import make
from raybatch.making.request import Result
from raybatch.memory import ReusedMemory, batches_in
from raybatch.notices import hold, taken
from raybatch.pools.ray.array_lists import with_lists_joined
from raybatch.pools.ray.constants import constant, drop, keep, unpacked
from raybatch.pools.ray.hosts import WorkerFacts
from raybatch.pools.ray.packed_error import with_error_packed
from raybatch.pools.ray.program import Program
from raybatch.pools.ray.tensor_views import with_tensors_viewed
from raybatch.stores import cache_counts

_number = 0


def worker_number() -> int:
    """Return the number of this actor in its pool, from 0."""
    return _number


class BatchWorker:
    """The class of the actors. It makes one batch at a time, with its rows on `threads` threads."""

    def __init__(self, threads: int, program: Program, setup: bytes | None, number: int) -> None:
        global _number
        _number = number
        hold()
        self._setup_error = _error_of_setup(program, setup)
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None
        # Safe to use again: Ray copies a batch into its store before it calls `make` again.
        self._memory = ReusedMemory()
        # This thread's CPU time when `make` returned last; None if `load` has run since.
        self._returned_at: float | None = None
        self._loading_s = 0.0
        self._programs: dict[str, Program] = {}

    def ready(self) -> WorkerFacts:
        """Return the facts of this worker, once its process is up and `setup` has run."""
        return WorkerFacts.here(self._setup_error)

    def catch_up(self) -> None:
        """Return after all earlier calls have been answered."""

    def load(self, key: str, refs: list[Any], program: Program) -> None:
        """Load the constant behind the one reference in `refs`, which belongs to `program`.

        If that fails, `make` returns the error.
        """
        self._programs[key] = program
        self._returned_at = None
        start = time.perf_counter()
        keep(key, refs[0], program)
        self._loading_s += time.perf_counter() - start

    def forget(self, key: str) -> None:
        """Drop a constant."""
        drop(key)
        self._programs.pop(key, None)

    def forget_user(self, user: str) -> None:
        """Drop all constants of `user`; their keys begin with its name."""
        for key in [key for key in self._programs if key.startswith(user)]:
            self.forget(key)

    def make(self, key: str, item: Any) -> tuple[Result, float, float, float]:
        """Make the request in `item` with the source `key`.

        Return the result and three durations in seconds: of making it, of storing the previous
        result, and of `load` since then. Ray stores a result after this method returns, so only the
        next call can report that duration. It is CPU time, which leaves out the wait for the next
        call.
        """
        stored_s = 0.0 if self._returned_at is None else time.thread_time() - self._returned_at
        self._returned_at = None
        start = time.perf_counter()
        with (
            row_executor(self._executor),
            batches_in(self._memory),
            self._programs.get(key, Program()).ruling(),
        ):
            try:
                source, request = constant(key), unpacked(item)
            except Exception as error:
                result = Result(error=error)
            else:
                result = make(source.unfinished(), request)
        result = with_error_packed(result)._replace(
            batch=with_lists_joined(with_tensors_viewed(result.batch)),
            notices=taken(),
            counted=cache_counts.taken(),
        )
        self._returned_at = time.thread_time()
        loading_s, self._loading_s = self._loading_s, 0.0
        return result, time.perf_counter() - start, stored_s, loading_s


def _error_of_setup(program: Program, setup: bytes | None) -> str | None:
    """Run the program's `setup`; return its error as text, or None."""
    program.take_over()
    if setup is None:
        return None
    try:
        pickle.loads(setup)()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
