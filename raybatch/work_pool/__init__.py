"""Where batches are made: in line, on threads, or by Ray actors; and BatchUp's `work_pool` on top.

Only the modules `ray_*.py` import ray, and they are loaded when one of their names is first used.
"""

from typing import TYPE_CHECKING, Any

from raybatch.work_pool.inline import InlinePool
from raybatch.work_pool.journal import Journal
from raybatch.work_pool.ordered import OrderedStream, Outcome
from raybatch.work_pool.pool import AbstractWorkerPool, ParallelDataSource, WorkStream
from raybatch.work_pool.session import Failure, HandOver, Session, SharedConstant, result_of
from raybatch.work_pool.simulated import Behaviour, HostCutOff, HostDies, HostSlow, SimulatedPool
from raybatch.work_pool.threads import ThreadPool, WorkerThreadPool
from raybatch.work_pool.watching import Figures, Watcher

if TYPE_CHECKING:
    from raybatch.work_pool.ray_pool import RayActorPool, WorkerProcessPool

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
        from raybatch.work_pool import ray_pool

        return getattr(ray_pool, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
