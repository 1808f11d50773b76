"""Estimates the resources that a rate of images needs, from the measured cost of batches.

One worker of a pool makes most of the measured batches, and this process makes the others.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from raybatch.checks import counted
from raybatch.loader.loader import Loader
from raybatch.pools.pool import WorkerPool
from raybatch.scheduling.settings import Prefetch
from raybatch.sources.batch import Batch, batch_nbytes
from raybatch.sources.source import DataSource

_WARM_UP = 3
# Enough batches to keep one worker busy.
_WINDOW = Prefetch(4)

# The fraction of the time that actors are busy. Measured: 0.94 for 32 actors whose reads wait, and
# 0.97 for two that decode.
_BUSY = 0.9
# Receiving batches should take at most this part of a core: with more, the consumer's process has
# little time for its own work.
_DRIVER_LIMIT = 0.5


@dataclass(frozen=True)
class BatchCosts:
    """The measured cost of a batch.

    Args:
        batch_size: The number of samples in the batch.
        nbytes: The bytes that it takes in the object store.
        file_bytes: The bytes of its files.
        actor_s: The seconds that one actor takes from one batch to the next.
        waiting_share: The fraction of `actor_s` in which the actor waits for storage.
        driver_s: The CPU seconds of the consumer's process.
    """

    batch_size: int
    nbytes: int
    file_bytes: int
    actor_s: float
    waiting_share: float
    driver_s: float


@dataclass(frozen=True)
class Needs:
    """The resources that a rate needs.

    Args:
        images_per_s: The rate.
        actors: The number of actors.
        cores: The number of CPU cores for the actors.
        window_batches: The number of batches that are made or held at a time.
        store_bytes: The object store that the window takes on the consumer's host.
        network_bit_s: The traffic from the actors to the consumer, if they are on different hosts.
        storage_bit_s: The traffic from the files to the actors.
        driver_cores: The number of CPU cores that the consumer's process needs to receive batches.
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
        """Why this rate leaves the consumer's process too little time; None if it does not."""
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
    """Return the costs of a batch, measured on `batches` random batches by one worker of `pool`.

    A source with fewer batches is read repeatedly. ValueError if it has none.
    """
    with Loader(
        source, batch_size, shuffle=True, seed=0, last_batch="drop", pool=pool, prefetch=_WINDOW
    ) as loader:
        if len(loader) == 0:
            raise ValueError(
                f"a data set of {counted(len(source), 'sample')} is smaller than a batch of"
                f" {batch_size}: use a smaller batch size"
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
    with Loader(source, batch_size, shuffle=True, seed=0) as loader:
        stream = _endless(loader)
        next(stream)  # warm up
        cpu_s, began = time.process_time(), time.perf_counter()
        next(stream)
        wall_s = time.perf_counter() - began
        cpu_s = time.process_time() - cpu_s
    return max(0.0, 1 - cpu_s / wall_s)


def _endless(loader: Loader) -> Iterator[Batch]:
    """Iterate over all batches of `loader`, epoch after epoch."""
    return itertools.chain.from_iterable(itertools.repeat(loader))
