"""Threads of this process as workers. Pillow releases the GIL while it decodes and resizes."""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any

from raybatch.checks import counted, positive_int
from raybatch.errors import PoolError, WorkerLostError
from raybatch.foreign_randomness import suspended
from raybatch.making.make import make
from raybatch.making.request import Request, Result
from raybatch.memory import ReusedMemory, batches_in
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import HandOver, Results
from raybatch.scheduling.messages import Completed, Failed, Silent
from raybatch.scheduling.settings import Prefetch
from raybatch.sources.source import DataSource


class ThreadPool(WorkerPool):
    """Makes batches on `num_threads` threads (None: one for each CPU of this machine).

    Several threads use a source at the same time, so its accessors and functions must be
    thread-safe. The threads end when the pool is closed, its `with` block is left, or its last
    reference is gone. A forked process starts threads of its own.

    All threads share the global generators of `random`, `np.random` and torch. So functions of
    `map` and `map_samples`, items of an `ItemAccessor` and functions in `transform=` run one call
    at a time, unless `seed_globals=False` says that they do not use these generators. raybatch's
    own transforms run in parallel. If the program draws from the global generators while such a
    function runs, it gets numbers seeded for the sample. Actors of a `RayActorPool` have generators
    of their own.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        count = os.cpu_count() or 1
        if num_threads is not None:
            count = positive_int("num_threads", num_threads)
        self.num_threads = count
        self._start()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({counted(self.num_threads, 'thread')})"

    def open(self, source: Any) -> ThreadSession:
        return ThreadSession(self, source)

    def tasks(self) -> TaskQueue:
        """Return the queue of the threads. In a forked process, start new threads first.

        A fork does not copy threads.
        """
        if self._process != os.getpid() and self._end.alive:
            self._end.detach()
            self._start()
        return self._tasks

    def default_prefetch(self) -> Prefetch:
        return Prefetch.for_workers(self.num_threads)

    def close(self) -> None:
        """End the threads after they have made the batches in the queue."""
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.num_threads,)

    def _start(self) -> None:
        self._process = os.getpid()
        self._tasks = TaskQueue(self.num_threads)
        for number in range(self.num_threads):
            threading.Thread(
                target=_work, args=(self._tasks,), name=f"raybatch-{number}", daemon=True
            ).start()
        self._end = weakref.finalize(self, self._tasks.close)


class _Inbox:
    """The part of a session that the threads hold, so that they do not hold the session itself."""

    def __init__(self, source: DataSource | None) -> None:
        self.source = source
        self.memory = ReusedMemory()
        self.results: queue.SimpleQueue[tuple[int, int, Result]] = queue.SimpleQueue()


@dataclass(frozen=True)
class _Task:
    """One attempt, and the inbox of the session that waits for it."""

    inbox: _Inbox
    key: int
    attempt: int
    request: Request


class TaskQueue:
    """The queue that all threads take tasks from. None tells one thread to end."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._is_closed = False
        # Reentrant: the garbage collector can close the pool while this thread holds the lock.
        self._lock = threading.RLock()

    def put(self, task: _Task) -> None:
        with self._lock:
            if self._is_closed:
                raise PoolError("the pool is closed")
            self._tasks.put(task)

    def get(self) -> _Task | None:
        return self._tasks.get()

    def close(self) -> None:
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                for _ in range(self._threads):
                    self._tasks.put(None)


class ThreadSession:
    """A `Session` that puts its tasks into the queue of a `ThreadPool`."""

    hand_over = HandOver()
    clock = staticmethod(time.monotonic)

    def __init__(self, pool: ThreadPool, source: DataSource) -> None:
        self._pool: ThreadPool | None = pool  # keeps the threads running
        self._tasks = pool.tasks()
        self._inbox = _Inbox(source)
        self._under_way: set[tuple[int, int]] = set()
        self._lost: list[Completed | Failed] = []
        self._results = Results()
        self.fetch, self.discard = self._results.fetch, self._results.discard

    def submit(self, key: int, attempt: int, request: Request, avoid: frozenset[int]) -> None:
        self._leave_parent()
        self._tasks.put(_Task(self._inbox, key, attempt, request))
        self._under_way.add((key, attempt))

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        self._leave_parent()
        if self._lost:
            lost, self._lost = self._lost, []
            return lost
        try:
            # TIMEOUT_MAX is the longest timeout that a lock accepts.
            with suspended():
                ended = self._inbox.results.get(timeout=min(timeout_s, threading.TIMEOUT_MAX))
        except queue.Empty:
            return []
        self._under_way.discard(ended[:2])
        return [self._results.settle(*ended)]

    def _leave_parent(self) -> None:
        """If the session comes from a parent process, report the attempts under way as lost.

        They are on the parent's threads, which a fork does not copy.
        """
        assert self._pool is not None
        tasks = self._pool.tasks()
        if tasks is self._tasks:
            return
        self._tasks, self._inbox = tasks, _Inbox(self._inbox.source)
        error = WorkerLostError(
            "the batch was on a thread of the parent process, which a fork does not copy"
        )
        self._lost += [
            Failed(*attempt, Result(error=error), lost=True, begun=False)
            for attempt in sorted(self._under_way)
        ]
        self._under_way.clear()

    def silent(self) -> tuple[Silent, ...]:
        return ()  # a thread cannot be ended

    def kill(self, worker: int) -> None:
        raise NotImplementedError("a thread cannot be ended")

    def close(self) -> None:
        self._pool = None
        self._inbox.source = None
        self._inbox = _Inbox(None)
        self._results.clear()


def _work(tasks: TaskQueue) -> None:
    while (task := tasks.get()) is not None:
        source = task.inbox.source
        if source is not None:
            with batches_in(task.inbox.memory):
                task.inbox.results.put((task.key, task.attempt, make(source, task.request)))
        del task, source  # hold no data while waiting for the next task
