"""What every pool offers to the driver."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar

from raybatch.making import Request, Result
from raybatch.pools.session import Session
from raybatch.pools.watching import Watcher
from raybatch.scheduling import Prefetch

Pool = TypeVar("Pool", bound="WorkerPool")


class WorkerPool:
    """Workers that make batches, shared by any number of streams.

    A subclass implements `open`, `default_prefetch` and `close`.
    """

    # Whether workers may be on other hosts than this process.
    spans_hosts = False

    def open(self, source: Any) -> Session:
        """Return a session whose workers make batches of `source`, which may be a `shared_constant`."""
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

    def on_each_host(self, source: Any, request: Request) -> dict[str, Result]:
        """Return what a worker on each host makes of `request`, by the host's address."""
        return {}

    def shared_constant(self, x: Any) -> Any:
        """Return what stands for `x` in what is sent to workers, so that it travels to each of them once."""
        return x

    def differs_from_here(self) -> bool:
        """Return whether workers may have what this process lacks: files, libraries, what a `setup` has registered."""
        return False

    def is_current(self, constant: Any) -> bool:
        """Return whether workers have a shared constant as it is now; if not, the next `open` sends it anew."""
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
