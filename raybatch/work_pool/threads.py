"""Threads of this process as workers: Pillow decodes and resizes without the interpreter's lock."""

from __future__ import annotations

import operator
import os
import queue
import threading
import weakref
from typing import Any

from raybatch.data_source import batch_nbytes
from raybatch.errors import PoolError
from raybatch.scheduling import Completed, Failed, Prefetch
from raybatch.work_pool.pool import AbstractWorkerPool
from raybatch.work_pool.session import Failure, Read, attempt

_Results = queue.SimpleQueue[tuple[int, int, Any]]


class ThreadPool(AbstractWorkerPool):
    """Makes batches on `num_threads` threads (None: one for each CPU of this machine).

    Sources are used by several threads at once, so their accessors and functions must allow that. Close the
    pool, use it in a `with`, or let go of it: the threads end with it.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        count = os.cpu_count() or 1 if num_threads is None else operator.index(num_threads)
        if count < 1:
            raise ValueError(f"num_threads must be 1 or more, not {count}")
        self.num_threads = count
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        for number in range(count):
            threading.Thread(
                target=_work, args=(self._tasks,), name=f"raybatch-{number}", daemon=True
            ).start()
        self._end = weakref.finalize(self, _end, self._tasks, count)

    def open(self, read: Any) -> ThreadSession:
        return ThreadSession(self, self._tasks, read)

    def default_prefetch(self) -> Prefetch:
        return Prefetch(batches=2 * self.num_threads + 2)

    @property
    def is_closed(self) -> bool:
        return not self._end.alive

    def close(self) -> None:
        """Let the threads end after the batches that they are making."""
        self._end()


class WorkerThreadPool(ThreadPool):
    """BatchUp's name for a pool of `processes` threads."""

    def __init__(self, processes: int = 1) -> None:
        super().__init__(processes)


class _Task:
    """One attempt, and where its result goes; `closed` says that nobody wants it any more."""

    def __init__(self, session: _Inbox, key: int, number: int, item: Any) -> None:
        self.inbox = session
        self.key, self.number, self.item = key, number, item


class _Inbox:
    """What a session shares with the threads, so that they do not keep the session itself."""

    def __init__(self, read: Read) -> None:
        self.read: Read | None = read
        self.results: _Results = queue.SimpleQueue()


class ThreadSession:
    """A `Session` whose tasks go through the one queue that all threads take from."""

    def __init__(
        self, pool: ThreadPool, tasks: queue.SimpleQueue[_Task | None], read: Read
    ) -> None:
        self._pool = pool
        self._tasks = tasks
        self._inbox = _Inbox(read)
        self._results: dict[tuple[int, int], Any] = {}

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        if self._pool.is_closed:
            raise PoolError("the pool is closed")
        self._tasks.put(_Task(self._inbox, key, attempt, item))

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        try:
            # The longest wait that a lock can be asked for.
            key, number, result = self._inbox.results.get(
                timeout=min(timeout_s, threading.TIMEOUT_MAX)
            )
        except queue.Empty:
            return []
        if isinstance(result, Failure):
            return [Failed(key, number, result)]
        self._results[key, number] = result
        return [Completed(key, number, batch_nbytes(result))]

    def fetch(self, key: int, attempt: int) -> Any:
        return self._results.pop((key, attempt))

    def discard(self, key: int, attempt: int) -> None:
        self._results.pop((key, attempt), None)

    def close(self) -> None:
        self._inbox.read = None
        self._inbox.results = queue.SimpleQueue()
        self._results.clear()


def _work(tasks: queue.SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        read = task.inbox.read
        if read is not None:
            result = attempt(read, task.item)
            task.inbox.results.put((task.key, task.number, result))
            del result
        del task, read  # while this thread waits it holds nobody's data


def _end(tasks: queue.SimpleQueue[_Task | None], count: int) -> None:
    for _ in range(count):
        tasks.put(None)
