"""The pool as one loader uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from raybatch.errors import PoolError
from raybatch.making import Request, Result
from raybatch.pools import Journal, OrderedStream, SharedConstant, WorkerPool
from raybatch.scheduling import Prefetch, Recovery
from raybatch.sources import DataSource


class Producer:
    """Has batches of `source` made by `pool`; `prefetch` says how much ahead, None: as the pool has it.

    It lets go of the pool when it is closed.
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
        """The pool; PoolError if this is closed."""
        if self._pool is None:
            raise PoolError("the loader is closed")
        return self._pool

    @property
    def spans_hosts(self) -> bool:
        """Whether workers may be on other hosts than this process."""
        return self._pool is not None and self._pool.spans_hosts

    @property
    def differs_from_here(self) -> bool:
        """Whether workers may have what this process lacks, such as files."""
        return self.pool.differs_from_here()

    @property
    def has_copies(self) -> bool:
        """Whether workers have copies of the source, in other processes than this one."""
        return isinstance(self._source, SharedConstant)

    def source_of_workers(self) -> DataSource:
        """Return the source as workers have it: a copy, where they do not share this process's memory."""
        held = self._source
        source: DataSource = held.copied() if isinstance(held, SharedConstant) else held
        return source

    @property
    def is_current(self) -> bool:
        """Whether the workers have the source as it is now."""
        return self.pool.is_current(self._source)

    def stream(
        self,
        requests: Iterator[Request],
        largest_bytes: int,
        journal: Journal,
        waiting: Callable[[OrderedStream], None] | None,
    ) -> OrderedStream:
        """Return the stream of the results of `requests`; the other arguments are those of `OrderedStream`."""
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
        """Return the results of `requests` of `source`, made by the side of the stream."""
        session = self.pool.open(source)
        recovery = replace(self.recovery, max_attempts=2)
        stream = OrderedStream(session, iter(requests), self._limit(), recovery)
        return [result for _, result in stream]

    def on_each_host(self, source: DataSource, request: Request) -> dict[str, Result]:
        """Return what a worker on each host makes of `request`, by the host's address."""
        return self.pool.on_each_host(source, request)

    def close(self) -> None:
        """Let go of the pool; may be called twice."""
        self._source = self._pool = None

    def _limit(self) -> Callable[[], Prefetch]:
        prefetch = self.prefetch
        return self.pool.default_prefetch if prefetch is None else lambda: prefetch
