"""The pool without workers: the consumer makes each batch while it waits for it."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from raybatch.making.make import make
from raybatch.making.request import Request
from raybatch.memory import ReusedMemory, batches_in
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import HandOver, Results
from raybatch.scheduling.messages import Completed, Failed, Silent
from raybatch.scheduling.settings import Prefetch
from raybatch.sources.source import DataSource

_ONE = Prefetch(batches=1)


class InlinePool(WorkerPool):
    """Makes each batch in the consumer's thread when the consumer asks for it."""

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
        # Ctrl-C is passed on, since it is meant for the consumer. No variable for the result: the
        # traceback of an error in it holds this frame, which would hold the error in turn.
        with batches_in(self._memory):
            return [
                self._results.settle(
                    key, attempt, make(self._source, request, (KeyboardInterrupt,))
                )
            ]

    def silent(self) -> tuple[Silent, ...]:
        return ()  # the only worker is the consumer, which cannot be ended

    def kill(self, worker: int) -> None:
        raise NotImplementedError("the consumer cannot be ended")

    def close(self) -> None:
        self._submitted.clear()
        self._results.clear()
