"""raybatch itself, on its pools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from raybatch.accessors import ImageFileAccessor
from raybatch.bench.work import Work
from raybatch.loader import Loader
from raybatch.pools import ThreadPool, WorkerPool
from raybatch.sources import ArrayDataSource


def actors(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load with Ray actors."""
    return _load(work, _actor_pool(work))


def threads(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load on threads of this process."""
    return _load(work, ThreadPool(work.workers))


def scaled(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load with Ray actors that let the JPEG decoder shrink: near the exact pixels, not equal."""
    return _load(work, _actor_pool(work), decode="scaled", scale_margin=work.scale_margin)


def _actor_pool(work: Work) -> WorkerPool:
    from raybatch.pools import RayActorPool  # loads ray

    return RayActorPool(work.workers, address="local")


def _load(work: Work, pool: WorkerPool, **reading: Any) -> Iterator[tuple[Any, Any]]:
    images = ImageFileAccessor(work.paths, work.size, **reading)
    source = ArrayDataSource([images, np.arange(len(images))])
    with pool, Loader(source, work.batch_size, pool=pool) as loader:
        for _ in range(work.epochs):
            yield from loader
