"""The workers of a DataLoader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from raybatch.adapters.torch.map_style import MapStyleSource
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import Session
from raybatch.scheduling.settings import Prefetch


class Team:
    """A pool of `num_workers` workers, and the source that they read.

    If `pool` is None, the team has a pool of Ray actors of its own. That pool starts at its first
    use and ends with the team.
    """

    def __init__(self, pool: WorkerPool | None, num_workers: int) -> None:
        self.given_pool = self._pool = pool
        self.num_workers = num_workers
        self._source = MapStyleSource(num_workers)
        self._constant: Any = None
        # The size of the largest batch so far.
        self.largest_bytes = 0

    def opened(self, loader: Any) -> Session:
        """Return a session whose workers have the current data set and attributes of `loader`."""
        self._source.take(loader)
        if self._constant is None:
            self._constant = self.pool.shared_constant(self._source)
        session: Session = self.pool.open(self._constant)
        return session

    @property
    def pool(self) -> Any:
        """The given pool, or the team's own, which is made at the first use."""
        if self._pool is None:
            from raybatch.pools.ray.actor_pool import RayActorPool  # this import loads Ray

            # Actors reserve no CPUs in Ray, just as PyTorch's processes reserve none. Two loaders
            # often have more workers than there are CPUs.
            self._pool = RayActorPool(self.num_workers, num_cpus_per_actor=0)
        return self._pool

    def limit(self, batches: int) -> Callable[[], Prefetch]:
        """Return a function that returns the limit on batches made ahead.

        The limit is `batches`, and the number of bytes that the pool sets by default.
        """
        pool = self.pool
        return lambda: replace(pool.default_prefetch(), batches=max(1, batches))


def size_of(pool: WorkerPool | None) -> int:
    """Return the number of workers of `pool`; 0 if it makes batches in line."""
    return int(getattr(pool, "num_actors", getattr(pool, "num_threads", 0)))
