"""A loader's view of its pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from raybatch.errors import PoolError
from raybatch.making.request import Request, Result
from raybatch.pools.journal import Journal
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import SharedConstant
from raybatch.pools.stream import OrderedStream
from raybatch.scheduling.settings import Prefetch, Recovery
from raybatch.sources.source import DataSource


class Producer:
    """Has a pool make the batches of `source`, and releases the pool when it is closed.

    `prefetch` limits the batches made ahead; None is the pool's default.
    """

    def __init__(
        self,
        source: DataSource,
        pool: WorkerPool,
        prefetch: Prefetch | None,
        recovery: Recovery,
    ) -> None:
        self.prefetch = prefetch
        self.recovery = recovery
        self._source = pool.shared_constant(source)
        self._pool: WorkerPool | None = pool

    def __repr__(self) -> str:
        return "closed" if self._pool is None else repr(self._pool)

    @property
    def pool(self) -> WorkerPool:
        """The pool; PoolError after `close`."""
        if self._pool is None:
            raise PoolError("the loader is closed")
        return self._pool

    @property
    def spans_hosts(self) -> bool:
        """Whether workers can be on hosts other than this one."""
        return self._pool is not None and self._pool.spans_hosts

    @property
    def differs_from_here(self) -> bool:
        """Whether workers can have files or libraries that this process lacks."""
        return self.pool.differs_from_here()

    @property
    def has_copies(self) -> bool:
        """Whether workers have copies of the source, in other processes than this one."""
        return isinstance(self._source, SharedConstant)

    def source_of_workers(self) -> DataSource:
        """Return the source that workers read: a copy unless they share this process's memory."""
        held = self._source
        source: DataSource = held.copied() if isinstance(held, SharedConstant) else held
        return source

    @property
    def is_current(self) -> bool:
        """Whether the workers have the current source."""
        return self.pool.is_current(self._source)

    def stream(
        self,
        requests: Iterator[Request],
        largest_bytes: int,
        journal: Journal,
        waiting: Callable[[OrderedStream], None] | None,
    ) -> OrderedStream:
        """Return the stream of the results of `requests`; see `OrderedStream` for the arguments."""
        return OrderedStream(
            self.pool.open(self._source),
            requests,
            self._limit(),
            self.recovery,
            largest_bytes=largest_bytes,
            journal=journal,
            waiting=waiting,
        )

    def attempt(self, source: DataSource, requests: Iterable[Request]) -> list[Result]:
        """Make `requests` of `source` in a second stream, and return the results."""
        session = self.pool.open(source)
        recovery = replace(self.recovery, max_attempts=2)
        stream = OrderedStream(session, iter(requests), self._limit(), recovery)
        return [result for _, result in stream]

    def on_each_host(self, source: DataSource, request: Request) -> dict[str, Result]:
        """Return the results of `request` from one worker on each host, by the host's address."""
        return self.pool.on_each_host(source, request)

    def close(self) -> None:
        """Release the pool; can be called twice."""
        self._source = self._pool = None

    def _limit(self) -> Callable[[], Prefetch]:
        prefetch = self.prefetch
        return self.pool.default_prefetch if prefetch is None else lambda: prefetch
