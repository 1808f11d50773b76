"""Grain, with threads in this process and with worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grain

from raybatch.bench.plain import read_image
from raybatch.bench.work import Work


def threads(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load on threads of this process."""
    yield from _batched(work).to_iter_dataset(_read_options(work, work.workers))


def processes(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load in worker processes, each with one thread that reads."""
    dataset = _batched(work).to_iter_dataset(_read_options(work, 1))
    options = grain.MultiprocessingOptions(work.workers, per_worker_buffer_size=2)
    iterator = iter(dataset.mp_prefetch(options))
    try:
        yield from iterator
    finally:
        iterator.close()


def _batched(work: Work) -> Any:
    """Return the batches of all epochs; the epochs are repeated after batching, so no batch has two of them."""

    def read(index: int) -> tuple[Any, int]:
        return read_image(work.paths[index], work.size), index

    indices = grain.MapDataset.source(range(len(work.paths)))
    return indices.map(read).batch(work.batch_size).repeat(work.epochs)


def _read_options(work: Work, num_threads: int) -> Any:
    # The buffer is counted in batches here: Grain's default of 500 would hold gigabytes of pixels.
    return grain.ReadOptions(num_threads, prefetch_buffer_size=2 * num_threads + 2)
