"""The interface of a pool."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar

from raybatch.making.request import Request, Result
from raybatch.pools.session import Session
from raybatch.pools.watching import Watcher
from raybatch.scheduling.settings import Prefetch

Pool = TypeVar("Pool", bound="WorkerPool")


class WorkerPool:
    """Workers that make batches. Any number of streams can share them.

    A subclass implements `open`, `default_prefetch` and `close`.
    """

    # Whether workers can be on other hosts than this process.
    spans_hosts = False

    def open(self, source: Any) -> Session:
        """Return a session that makes batches of `source`, which can be a `shared_constant`."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def default_prefetch(self) -> Prefetch:
        """Return how much to make ahead if the user does not set it."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def close(self) -> None:
        """End the workers. Streams that still use them raise PoolError."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def metrics(self, name: str) -> Watcher | None:
        """Return a watcher that exports the figures of the loader `name`, or None."""
        return None

    def on_each_host(self, source: Any, request: Request) -> dict[str, Result]:
        """Make `request` on one worker of each host; return the results by the host's address."""
        return {}

    def shared_constant(self, x: Any) -> Any:
        """Return a handle for `x`. Requests with the handle send `x` to each worker only once."""
        return x

    def differs_from_here(self) -> bool:
        """Return whether workers may have files, libraries or settings that this process lacks."""
        return False

    def is_current(self, constant: Any) -> bool:
        """Return whether `constant` is unchanged since it was sent. If not, `open` resends it."""
        return True

    def __enter__(self: Pool) -> Pool:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
