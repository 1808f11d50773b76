"""Estimates the resources for a rate from the cost of batches.

Some batches are made by one worker of a pool, and one in this process.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from raybatch.loader.loader import Loader
from raybatch.pools.pool import WorkerPool
from raybatch.scheduling.settings import Prefetch
from raybatch.sources.batch import Batch, batch_nbytes
from raybatch.sources.source import DataSource

_WARM_UP = 3
# Enough to keep one worker busy.
_WINDOW = Prefetch(4)

# The fraction of their time that many actors spend on batches: 32 whose reads wait reach 0.94 of
# the ideal rate, two that decode 0.97.
_BUSY = 0.9
# A consumer whose process spends more of a core than this on receiving batches has little left for
# its own work.
_DRIVER_LIMIT = 0.5


@dataclass(frozen=True)
class BatchCosts:
    """The measured cost of a batch; times are in seconds.

    A batch takes `nbytes` in the object store, from files of `file_bytes`. One actor takes
    `actor_s` from one batch to the next, and waits for storage for the fraction `waiting_share` of
    it. `driver_s` is the CPU time of the consumer's process.
    """

    batch_size: int
    nbytes: int
    file_bytes: int
    actor_s: float
    waiting_share: float
    driver_s: float


@dataclass(frozen=True)
class Needs:
    """The resources for `images_per_s`.

    They are `actors` on `cores` CPU cores; `window_batches` held or made at a time, for which the
    consumer's host needs `store_bytes` of object store; `network_bit_s` from the actors to the
    consumer, if these are on different hosts; `storage_bit_s` from the files to the actors; and
    `driver_cores` of the consumer's process.
    """

    images_per_s: float
    actors: int
    cores: int
    window_batches: int
    store_bytes: int
    network_bit_s: float
    storage_bit_s: float
    driver_cores: float

    @property
    def largest_images_per_s(self) -> float:
        """The highest rate that leaves the consumer's process time for its own work."""
        return self.images_per_s * _DRIVER_LIMIT / self.driver_cores

    @property
    def warning(self) -> str | None:
        """The obstacle, or None."""
        if self.driver_cores <= _DRIVER_LIMIT:
            return None
        return (
            f"receiving {self.images_per_s:.0f} images/s takes {self.driver_cores:.1f} CPU cores in"
            f" the consumer's process, which should receive at most {self.largest_images_per_s:.0f}"
            " images/s: use larger batches or several ranks"
        )


def needs_for(costs: BatchCosts, images_per_s: float) -> Needs:
    """Return the resources for `images_per_s`, with `RayActorPool`'s default window."""
    batches_per_s = images_per_s / costs.batch_size
    actors = max(1, math.ceil(batches_per_s * costs.actor_s / _BUSY))
    window = Prefetch.for_workers(actors).batches
    return Needs(
        images_per_s=images_per_s,
        actors=actors,
        cores=max(1, math.ceil(actors * (1 - costs.waiting_share))),
        window_batches=window,
        store_bytes=window * costs.nbytes,
        network_bit_s=8 * batches_per_s * costs.nbytes,
        storage_bit_s=8 * batches_per_s * costs.file_bytes,
        driver_cores=batches_per_s * costs.driver_s,
    )


def measure_costs(
    source: DataSource,
    batch_size: int,
    pool: WorkerPool,
    batches: int,
    mean_file_bytes: float,
) -> BatchCosts:
    """Return the costs of `batches` random batches of `source`, made by one worker of `pool`.

    A source with fewer batches is read again and again. ValueError if it has none.
    """
    with Loader(
        source, batch_size, shuffle=0, last_batch="drop", pool=pool, prefetch=_WINDOW
    ) as loader:
        if len(loader) == 0:
            raise ValueError(
                f"{source.num_samples()} samples are too few for a batch of {batch_size}"
            )
        stream = _endless(loader)
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
    """Return the fraction of a batch's time in which no CPU works, measured here."""
    with Loader(source, batch_size, shuffle=0) as loader:
        stream = _endless(loader)
        next(stream)  # to warm up
        cpu_s, began = time.process_time(), time.perf_counter()
        next(stream)
        wall_s = time.perf_counter() - began
        cpu_s = time.process_time() - cpu_s
    return max(0.0, 1 - cpu_s / wall_s)


def _endless(loader: Loader) -> Iterator[Batch]:
    """Iterate over all batches of `loader`, epoch after epoch."""
    return itertools.chain.from_iterable(itertools.repeat(loader))
