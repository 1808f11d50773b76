"""What runs in a Ray actor: batches made of the constants that it has."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from raybatch.accessors import row_executor
from raybatch.making import Result, make
from raybatch.memory import ReusedMemory, batches_in
from raybatch.notices import hold, taken
from raybatch.pools.ray.array_lists import with_lists_joined
from raybatch.pools.ray.constants import constant, drop, keep, unpacked
from raybatch.pools.ray.hosts import WorkerFacts
from raybatch.pools.ray.packed_error import with_error_packed
from raybatch.pools.ray.program import Program
from raybatch.pools.ray.tensor_views import with_tensors_viewed

_number = 0


def worker_number() -> int:
    """Return the number of this actor among those that its pool has started, from 0."""
    return _number


class BatchWorker:
    """The class of the actors: one batch at a time, its rows on `threads` threads."""

    def __init__(self, threads: int, program: Program, setup: bytes | None, number: int) -> None:
        global _number
        _number = number
        hold()
        self._setup_error = _error_of_setup(program, setup)
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None
        # Ray has copied a batch into its store before it asks for the next.
        self._memory = ReusedMemory()
        # This thread's CPU time when the last result was returned, or None if more has happened
        # since.
        self._returned_at: float | None = None
        self._loading_s = 0.0
        self._programs: dict[str, Program] = {}

    def ready(self) -> WorkerFacts:
        """Return where this worker is, once its process is up and the program's `setup` has run."""
        return WorkerFacts.here(self._setup_error)

    def catch_up(self) -> None:
        """Return when all that was asked before is answered."""

    def load(self, key: str, refs: list[Any], program: Program) -> None:
        """Get the one constant in `refs`, of `program`; a failure to unpickle it is raised where it is used."""
        self._programs[key] = program
        self._returned_at = None
        start = time.perf_counter()
        keep(key, refs[0], program)
        self._loading_s += time.perf_counter() - start

    def forget(self, key: str) -> None:
        """Let go of a constant."""
        drop(key)
        self._programs.pop(key, None)

    def forget_user(self, user: str) -> None:
        """Let go of all constants of `user`, whose name their keys begin with."""
        for key in [key for key in self._programs if key.startswith(user)]:
            self.forget(key)

    def make(self, key: str, item: Any) -> tuple[Result, float, float, float]:
        """Return the result of the request in `item` to the source `key`, and three numbers of seconds.

        They are those of making it, of storing the result before, and of `load` since then. Ray
        stores a result when this has returned, so it is known at the next call. It is work of this
        thread; what the actor waits for its next call is not.
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
            batch=with_lists_joined(with_tensors_viewed(result.batch)), notices=taken()
        )
        self._returned_at = time.thread_time()
        loading_s, self._loading_s = self._loading_s, 0.0
        return result, time.perf_counter() - start, stored_s, loading_s


def _error_of_setup(program: Program, setup: bytes | None) -> str | None:
    """Run the program's `setup`, and return what it raised, if anything."""
    program.take_over()
    if setup is None:
        return None
    try:
        pickle.loads(setup)()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
