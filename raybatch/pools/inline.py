"""The pool that is no pool: batches are made by whoever waits for them."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from raybatch.making import Request, make
from raybatch.memory import ReusedMemory, batches_in
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import HandOver, Results
from raybatch.scheduling import Completed, Failed, Prefetch, Silent
from raybatch.sources import DataSource

_ONE = Prefetch(batches=1)


class InlinePool(WorkerPool):
    """Makes each batch in the consumer's thread, when it is asked for."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def open(self, source: Any) -> InlineSession:
        return InlineSession(source)

    def default_prefetch(self) -> Prefetch:
        return _ONE

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class InlineSession:
    """A `Session` whose `wait` does the work."""

    hand_over = HandOver()
    clock = staticmethod(time.monotonic)

    def __init__(self, source: DataSource) -> None:
        self._source = source
        self._memory = ReusedMemory()
        self._submitted: deque[tuple[int, int, Request]] = deque()
        self._results = Results()
        self.fetch, self.discard = self._results.fetch, self._results.discard

    def submit(self, key: int, attempt: int, request: Request, avoid: frozenset[int]) -> None:
        self._submitted.append((key, attempt, request))

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        key, attempt, request = self._submitted.popleft()
        # A Ctrl-C here is the consumer's own. No name for the result: an error's traceback leads back to this
        # frame, and would be kept by it.
        with batches_in(self._memory):
            return [
                self._results.settle(
                    key, attempt, make(self._source, request, (KeyboardInterrupt,))
                )
            ]

    def silent(self) -> tuple[Silent, ...]:
        return ()  # nothing can be done about the consumer

    def kill(self, worker: int) -> None:
        raise NotImplementedError("the consumer cannot be ended")

    def close(self) -> None:
        self._submitted.clear()
        self._results.clear()
