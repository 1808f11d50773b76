"""What every pool offers: sessions for the driver, and BatchUp's work streams and parallel sources."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from raybatch.pools.session import Session, SharedConstant
from raybatch.pools.stream import OrderedStream
from raybatch.pools.watching import Watcher
from raybatch.scheduling import Prefetch, Recovery
from raybatch.sources import (
    AbstractDataSource,
    Batch,
    KeyedRead,
    TolerantDataSource,
    keyed_indices,
)

Pool = TypeVar("Pool", bound="AbstractWorkerPool")


class AbstractWorkerPool:
    """Workers that make batches, shared by any number of streams.

    A subclass implements `open`, `default_prefetch` and `close`. `work_stream`, `parallel_data_source` and
    `shared_constant` are those of BatchUp.
    """

    def open(self, read: Any) -> Session:
        """Return a session whose workers call `read(item)`; `read` may be a `shared_constant`."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def default_prefetch(self) -> Prefetch:
        """Return how much to make ahead where the user does not say."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def close(self) -> None:
        """End the workers; streams that still use them get a PoolError."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def metrics(self, name: str) -> Watcher | None:
        """Return what takes the figures of the loader `name` to where the pool keeps metrics; None: nowhere."""
        return None

    # Whether workers may be on other hosts than this process.
    spans_hosts = False

    def on_each_host(self, read: Any, item: Any) -> dict[str, Any]:
        """Return `read(item)`, or a `Failure`, as made by a worker on each host, by the host's address."""
        return {}

    def __enter__(self: Pool) -> Pool:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def shared_constant(self, x: Any) -> Any:
        """Return what to pass to tasks in the place of `x`, so that it travels to each worker once."""
        return x

    def work_stream(self, task_generator: Iterator[Any], task_buffer_size: int = 20) -> WorkStream:
        """Return a stream of the results of tasks `(fn,)`, `(fn, args)` or `(fn, args, kwargs)`, in order.

        About `task_buffer_size` tasks are kept under way or done. Streams of one pool share its workers.
        """
        return WorkStream(self, task_generator, task_buffer_size=task_buffer_size)

    def parallel_data_source(
        self, ds: AbstractDataSource, batch_buffer_size: int = 20
    ) -> ParallelDataSource:
        """Return a source whose batches are those of `ds`, made by the workers, `batch_buffer_size` ahead.

        TypeError if `ds` is no data source, or has no random access.
        """
        return ParallelDataSource(ds, batch_buffer_size, self)


class WorkStream:
    """The results of tasks, in the order of the tasks; made by `AbstractWorkerPool.work_stream`."""

    def __init__(
        self,
        worker_pool: AbstractWorkerPool,
        task_generator: Iterator[Any],
        task_buffer_size: int = 20,
    ) -> None:
        if not isinstance(worker_pool, AbstractWorkerPool):
            raise TypeError(f"worker_pool must be a pool, not {type(worker_pool)}")
        tasks = map(_as_call, iter(task_generator))
        prefetch = Prefetch(operator.index(task_buffer_size))
        session = worker_pool.open(_call)
        self._stream = OrderedStream(session, tasks, lambda: prefetch, Recovery())

    def retrieve(self) -> Any:
        """Return the next result, waiting for it; None when there are no more. A task's error is raised."""
        return next(self.retrieve_iter(), None)

    def retrieve_iter(self) -> Iterator[Any]:
        """Iterate over the results that remain."""
        return _values(self._stream)


class ParallelDataSource(AbstractDataSource):
    """The batches of another source, made by a pool; made by `AbstractWorkerPool.parallel_data_source`."""

    def __init__(
        self, ds: AbstractDataSource, batch_buffer_size: int, pool: AbstractWorkerPool
    ) -> None:
        if not isinstance(ds, AbstractDataSource):
            raise TypeError(f"ds must be a data source, not {type(ds)}")
        if not ds.is_random_access:
            raise TypeError(f"ds must be random access; it is of type {type(ds)}")
        self._ds = ds
        self._prefetch = Prefetch(operator.index(batch_buffer_size))
        self._pool = pool
        if isinstance(ds, TolerantDataSource):
            read: Callable[[Any], Any] = ds.tolerant_read
        else:
            read = KeyedRead(ds) if ds.uses_rng else ds.samples_by_indices_nomapping
        self._read = pool.shared_constant(read)

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self._ds.num_samples(**kwargs)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return self._ds.num_batches(batch_size, **kwargs)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        """Iterate over the batches of the source; an error that making one raises is raised as it is."""
        ds, prefetch = self._ds, self._prefetch
        if isinstance(ds, TolerantDataSource):
            items: Iterator[Any] = ds.requests(batch_size, **kwargs)
        elif ds.uses_rng:
            items = keyed_indices(ds, batch_size, **kwargs)
        else:
            items = ds.batch_indices_iterator(batch_size, **kwargs)
        session = self._pool.open(self._read)
        made = _closing(OrderedStream(session, items, lambda: prefetch, Recovery()))
        return ds.delivered(made, **kwargs) if isinstance(ds, TolerantDataSource) else made


def _values(stream: OrderedStream[Any]) -> Iterator[Any]:
    for outcome in stream:
        error = outcome.error
        if error is None:
            yield outcome.value
            continue
        del outcome
        try:
            raise error
        finally:
            # Its traceback holds this frame, and a frame that held it would keep the stream in a cycle.
            del error


def _closing(stream: OrderedStream[Any]) -> Iterator[Any]:
    """Iterate over the values of a stream that nobody else has, and close it at the end or an error."""
    try:
        yield from _values(stream)
    finally:
        stream.close()


class Call:
    """One task of a work stream."""

    __slots__ = ("args", "fn", "kwargs")

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs or {}

    def constants(self) -> Iterator[SharedConstant]:
        """Iterate over the shared constants among the arguments."""
        for value in (*self.args, *self.kwargs.values()):
            if isinstance(value, SharedConstant):
                yield value


def _as_call(task: Any) -> Call:
    if not isinstance(task, tuple) or not 1 <= len(task) <= 3 or not callable(task[0]):
        raise TypeError(f"a task must be (fn,), (fn, args) or (fn, args, kwargs), not {task!r}")
    return Call(*task)


def _call(call: Call) -> Any:
    args = [_plain(value) for value in call.args]
    return call.fn(*args, **{name: _plain(value) for name, value in call.kwargs.items()})


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, SharedConstant) else value
