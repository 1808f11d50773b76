"""BatchUp's methods on pools of Ray actors."""

from __future__ import annotations

from typing import Any

from raybatch.batchup.streams import AbstractWorkerPool
from raybatch.pools.ray import actor_pool


class RayActorPool(actor_pool.RayActorPool, AbstractWorkerPool):
    __doc__ = actor_pool.RayActorPool.__doc__


class WorkerProcessPool(RayActorPool):
    """BatchUp's name for a pool of `processes` processes on this machine.

    Here they are Ray actors.
    """

    def __init__(self, processes: int = 1) -> None:
        super().__init__(processes, num_cpus_per_actor=0)
        # As in BatchUp, all processes are up when the pool is made, so that they share the first
        # tasks.
        try:
            self.wait_until_up()
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.num_actors,)

    def _scheduling_strategy(self, given: Any) -> Any:
        return actor_pool.on_this_host()
