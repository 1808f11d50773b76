"""The pool that is no pool: batches are made by whoever waits for them."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from raybatch.pools.pool import AbstractWorkerPool
from raybatch.pools.session import HandOver, Read, Results, result_of
from raybatch.scheduling import Completed, Failed, Prefetch, Silent


class InlinePool(AbstractWorkerPool):
    """Makes each batch in the consumer's thread, when it is asked for."""

    def open(self, read: Any) -> InlineSession:
        return InlineSession(read)

    def default_prefetch(self) -> Prefetch:
        return Prefetch(batches=1)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class InlineSession:
    """A `Session` whose `wait` does the work."""

    hand_over = HandOver()
    clock = staticmethod(time.monotonic)

    def __init__(self, read: Read) -> None:
        self._read = read
        self._submitted: deque[tuple[int, int, Any]] = deque()
        self._results = Results()
        self.fetch, self.discard = self._results.fetch, self._results.discard

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        self._submitted.append((key, attempt, item))

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        key, attempt, item = self._submitted.popleft()
        # A Ctrl-C here is the consumer's own. No name for the result: an error's traceback leads back to this
        # frame, and would be kept by it.
        return [
            self._results.settle(
                key, attempt, result_of(self._read, item, passing=(KeyboardInterrupt,))
            )
        ]

    def silent(self) -> tuple[Silent, ...]:
        return ()  # nothing can be done about the consumer

    def kill(self, worker: int) -> None:
        raise NotImplementedError("the consumer cannot be ended")

    def close(self) -> None:
        self._submitted.clear()
        self._results.clear()
