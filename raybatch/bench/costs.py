"""What a batch costs here: some made by one worker of a pool, one in this process."""

from __future__ import annotations

import itertools
import time

from raybatch.bench.plan import BatchCosts
from raybatch.loader import Loader
from raybatch.pools import WorkerPool
from raybatch.scheduling import Prefetch
from raybatch.sources import DataSource, batch_nbytes

_WARM_UP = 3
# Enough that one worker is never out of work.
_WINDOW = Prefetch(4)


def measure_costs(
    source: DataSource,
    batch_size: int,
    pool: WorkerPool,
    batches: int,
    mean_file_bytes: float,
) -> BatchCosts:
    """Return what batches of `source` cost: `batches` in random order are made by the one worker of `pool`.

    Where the source has fewer, they are made again and again. ValueError if it has not even one.
    """
    with Loader(
        source, batch_size, shuffle=0, last_batch="drop", pool=pool, prefetch=_WINDOW
    ) as loader:
        if len(loader) == 0:
            raise ValueError(f"{source.num_samples()} samples make no batch of {batch_size}")
        stream = itertools.chain.from_iterable(itertools.repeat(loader))
        for _ in range(_WARM_UP):
            next(stream)
        driver_s, began = time.process_time(), time.perf_counter()
        for _ in range(batches):
            batch = next(stream)
        actor_s = (time.perf_counter() - began) / batches
        driver_s = (time.process_time() - driver_s) / batches
    return BatchCosts(
        batch_size=batch_size,
        nbytes=batch_nbytes(batch),
        file_bytes=round(mean_file_bytes * batch_size),
        actor_s=actor_s,
        waiting_share=_waiting_share(source, batch_size),
        driver_s=driver_s,
    )


def _waiting_share(source: DataSource, batch_size: int) -> float:
    """Return the part of the time of a batch in which no CPU works for it, made in this process."""
    for seed in range(2):  # the first is to warm up
        cpu_s, began = time.process_time(), time.perf_counter()
        next(source.batch_iterator(batch_size, shuffle=seed))
    wall_s = time.perf_counter() - began
    return max(0.0, 1 - (time.process_time() - cpu_s) / wall_s)
