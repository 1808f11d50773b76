"""BatchUp's `work_pool`."""

from typing import TYPE_CHECKING, Any

from raybatch.batchup.streams import (
    AbstractWorkerPool,
    InlinePool,
    ParallelDataSource,
    ThreadPool,
    WorkerThreadPool,
    WorkStream,
)

if TYPE_CHECKING:
    from raybatch.batchup.ray_pools import RayActorPool, WorkerProcessPool

__all__ = [
    "AbstractWorkerPool",
    "InlinePool",
    "ParallelDataSource",
    "RayActorPool",
    "ThreadPool",
    "WorkStream",
    "WorkerProcessPool",
    "WorkerThreadPool",
]


def __getattr__(name: str) -> Any:
    if name in ("RayActorPool", "WorkerProcessPool"):
        from raybatch.batchup import ray_pools

        return getattr(ray_pools, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
