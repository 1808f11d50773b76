"""Where batches are made: in line, on threads, or by Ray actors; and BatchUp's `work_pool` on top.

Only the folder `ray` imports ray, and it is loaded when one of their names is first used.
"""

from typing import TYPE_CHECKING, Any

from raybatch.pools.inline import InlinePool
from raybatch.pools.journal import Journal
from raybatch.pools.pool import AbstractWorkerPool, ParallelDataSource, WorkStream
from raybatch.pools.session import Failure, HandOver, Session, SharedConstant, result_of
from raybatch.pools.simulated import Behaviour, HostCutOff, HostDies, HostSlow, SimulatedPool
from raybatch.pools.stream import OrderedStream, Outcome
from raybatch.pools.threads import ThreadPool, WorkerThreadPool
from raybatch.pools.watching import Figures, Watcher

if TYPE_CHECKING:
    from raybatch.pools.ray.actor_pool import RayActorPool, WorkerProcessPool

__all__ = [
    "AbstractWorkerPool",
    "Behaviour",
    "Failure",
    "Figures",
    "HandOver",
    "HostCutOff",
    "HostDies",
    "HostSlow",
    "InlinePool",
    "Journal",
    "OrderedStream",
    "Outcome",
    "ParallelDataSource",
    "RayActorPool",
    "Session",
    "SharedConstant",
    "SimulatedPool",
    "ThreadPool",
    "Watcher",
    "WorkStream",
    "WorkerProcessPool",
    "WorkerThreadPool",
    "result_of",
]


def __getattr__(name: str) -> Any:
    if name in ("RayActorPool", "WorkerProcessPool"):
        from raybatch.pools.ray import actor_pool

        return getattr(actor_pool, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
