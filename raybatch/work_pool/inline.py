"""The pool that is no pool: batches are made by whoever waits for them."""

from __future__ import annotations

from collections import deque
from typing import Any

from raybatch.data_source import batch_nbytes
from raybatch.scheduling import Completed, Failed, Prefetch
from raybatch.work_pool.pool import AbstractWorkerPool
from raybatch.work_pool.session import Failure, Read, attempt


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

    def __init__(self, read: Read) -> None:
        self._read = read
        self._submitted: deque[tuple[int, int, Any]] = deque()
        self._results: dict[tuple[int, int], Any] = {}

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        self._submitted.append((key, attempt, item))

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        key, number, item = self._submitted.popleft()
        result = attempt(self._read, item)
        if isinstance(result, Failure):
            return [Failed(key, number, result)]
        self._results[key, number] = result
        return [Completed(key, number, batch_nbytes(result))]

    def fetch(self, key: int, attempt: int) -> Any:
        return self._results.pop((key, attempt))

    def discard(self, key: int, attempt: int) -> None:
        self._results.pop((key, attempt), None)

    def close(self) -> None:
        self._submitted.clear()
        self._results.clear()
