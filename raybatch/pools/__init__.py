"""The pools, which make batches: in line, on threads, or by Ray actors.

Only the folder `ray` imports ray. It is loaded when one of its names is used for the first time.
"""

from typing import TYPE_CHECKING, Any

from raybatch.pools.inline import InlinePool
from raybatch.pools.journal import Journal
from raybatch.pools.pool import WorkerPool
from raybatch.pools.session import HandOver, Session, SharedConstant
from raybatch.pools.stream import OrderedStream
from raybatch.pools.threads import ThreadPool
from raybatch.pools.watching import Figures, Watcher

if TYPE_CHECKING:
    from raybatch.pools.ray.actor_pool import RayActorPool

__all__ = [
    "Figures",
    "HandOver",
    "InlinePool",
    "Journal",
    "OrderedStream",
    "RayActorPool",
    "Session",
    "SharedConstant",
    "ThreadPool",
    "Watcher",
    "WorkerPool",
]


def __getattr__(name: str) -> Any:
    if name == "RayActorPool":
        from raybatch.pools.ray.actor_pool import RayActorPool

        return RayActorPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
