"""The workers of a DataLoader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from raybatch.adapters.torch.map_style import MapStyleSource
from raybatch.pools import Session, WorkerPool
from raybatch.scheduling import Prefetch


class Team:
    """A pool of `num_workers` workers, an own one of Ray actors if there is no `pool`, and the source that they have.

    The own one starts when it is first used, and ends with the team.
    """

    def __init__(self, pool: WorkerPool | None, num_workers: int) -> None:
        self.given_pool = self._pool = pool
        self.num_workers = num_workers
        self._source = MapStyleSource(num_workers)
        self._constant: Any = None
        # Of all batches so far.
        self.largest_bytes = 0

    def opened(self, loader: Any) -> Session:
        """Return a session whose workers have the data set of `loader`, and what else it has now."""
        self._source.take(loader)
        if self._constant is None:
            self._constant = self.pool.shared_constant(self._source)
        session: Session = self.pool.open(self._constant)
        return session

    @property
    def pool(self) -> Any:
        """The pool."""
        if self._pool is None:
            from raybatch.pools import RayActorPool  # which loads Ray

            # They ask Ray for no CPUs, as processes ask nobody: who has two loaders often has more workers than CPUs.
            self._pool = RayActorPool(self.num_workers, num_cpus_per_actor=0)
        return self._pool

    def limit(self, batches: int) -> Callable[[], Prefetch]:
        """Return what says how much to make ahead: as many `batches`, and as many bytes as the pool has room for."""
        pool = self.pool
        return lambda: replace(pool.default_prefetch(), batches=max(1, batches))


def size_of(pool: WorkerPool | None) -> int:
    """Return how many workers `pool` has, 0 if it makes batches in line."""
    return int(getattr(pool, "num_actors", getattr(pool, "num_threads", 0)))
