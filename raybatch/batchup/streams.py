"""Pools with BatchUp's methods: work streams and parallel sources."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from raybatch.batchup.tree import AbstractDataSource, keyed_requests
from raybatch.making.request import Request
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS, RandomKeys
from raybatch.pools import inline, threads
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import SharedConstant
from raybatch.pools.stream import OrderedStream
from raybatch.scheduling.settings import Prefetch, Recovery
from raybatch.sources.batch import Batch
from raybatch.sources.source import DataSource


class AbstractWorkerPool(WorkerPool):
    """A pool with BatchUp's methods."""

    def work_stream(self, task_generator: Iterator[Any], task_buffer_size: int = 20) -> WorkStream:
        """Return the results of tasks `(fn,)`, `(fn, args)` or `(fn, args, kwargs)`, in order.

        About `task_buffer_size` tasks are running or have results that wait. Streams of one pool
        share its workers.
        """
        return WorkStream(self, task_generator, task_buffer_size=task_buffer_size)

    def parallel_data_source(
        self, ds: AbstractDataSource, batch_buffer_size: int = 20
    ) -> ParallelDataSource:
        """Return a source with the batches of `ds`, made by the workers, `batch_buffer_size` ahead.

        TypeError unless `ds` is a data source with random access.
        """
        return ParallelDataSource(ds, batch_buffer_size, self)


class InlinePool(inline.InlinePool, AbstractWorkerPool):
    __doc__ = inline.InlinePool.__doc__


class ThreadPool(threads.ThreadPool, AbstractWorkerPool):
    __doc__ = threads.ThreadPool.__doc__


class WorkerThreadPool(ThreadPool):
    """BatchUp's name for a pool of `processes` threads."""

    def __init__(self, processes: int = 1) -> None:
        super().__init__(processes)


class WorkStream:
    """The results of tasks, in the order of the tasks.

    `AbstractWorkerPool.work_stream` makes it.
    """

    def __init__(
        self,
        worker_pool: AbstractWorkerPool,
        task_generator: Iterator[Any],
        task_buffer_size: int = 20,
    ) -> None:
        if not isinstance(worker_pool, WorkerPool):
            raise TypeError(f"worker_pool must be a pool, not {type(worker_pool)}")
        requests = map(_as_request, iter(task_generator))
        prefetch = Prefetch(operator.index(task_buffer_size))
        session = worker_pool.open(_Tasks())
        self._stream = OrderedStream(session, requests, lambda: prefetch, Recovery())

    def retrieve(self) -> Any:
        """Return the next result, waiting for it; None at the end. An error of a task is raised."""
        return next(self.retrieve_iter(), None)

    def retrieve_iter(self) -> Iterator[Any]:
        """Iterate over the remaining results."""
        return _batches(self._stream)


class ParallelDataSource(AbstractDataSource):
    """The batches of another source, made by a pool.

    `AbstractWorkerPool.parallel_data_source` makes it.
    """

    def __init__(self, ds: AbstractDataSource, batch_buffer_size: int, pool: WorkerPool) -> None:
        if not isinstance(ds, DataSource):
            raise TypeError(f"ds must be a data source, not {type(ds)}")
        if not ds.is_random_access:
            raise TypeError(f"ds must be random access; it is of type {type(ds)}")
        self._ds = ds
        self._prefetch = Prefetch(operator.index(batch_buffer_size))
        self._pool = pool
        self._source = pool.shared_constant(ds)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self._ds.num_samples(**kwargs)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return self._ds.num_batches(batch_size, **kwargs)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        """Iterate over the batches of the source; errors of making a batch are raised unchanged."""
        prefetch, requests = self._prefetch, keyed_requests(self._ds, batch_size, **kwargs)
        session = self._pool.open(self._source)
        return _closing(OrderedStream(session, requests, lambda: prefetch, Recovery()))


def _batches(stream: OrderedStream) -> Iterator[Any]:
    for _, result in stream:
        if result.error is None:
            yield result.batch
            continue
        error = result.error
        del result
        try:
            raise error
        finally:
            # The error's traceback holds this frame. If the frame held the error too, this cycle
            # would keep the stream alive.
            del error


def _closing(stream: OrderedStream) -> Iterator[Any]:
    """Iterate over the batches of `stream`, and close it at the end or on an error."""
    try:
        yield from _batches(stream)
    finally:
        stream.close()


class _Task:
    """One task of a work stream, which a request carries in the place of indices."""

    __slots__ = ("args", "fn", "kwargs")

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs or {}

    def __call__(self) -> Any:
        args = [_plain(value) for value in self.args]
        return self.fn(*args, **{name: _plain(value) for name, value in self.kwargs.items()})


def _as_request(task: Any) -> Request:
    if not isinstance(task, tuple) or not 1 <= len(task) <= 3 or not callable(task[0]):
        raise TypeError(f"a task must be (fn,), (fn, args) or (fn, args, kwargs), not {task!r}")
    return Request(Rows.of(_Task(*task)), NO_KEYS, valid=1)


class _Tasks(DataSource):
    """A source whose batches are the results of tasks."""

    def read(self, rows: Rows, keys: RandomKeys) -> Any:
        return rows.indices()


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, SharedConstant) else value
