"""The ceiling: as many plain loops as there are workers, side by side, that hand nothing over."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from typing import Any

from raybatch.bench.plain import read_batch
from raybatch.bench.work import Work


def batches(work: Work) -> Iterator[tuple[Any, Any]]:
    """Give the indices of each batch that one of the processes has made, and None for its images.

    The processes take the next batch that nobody has taken, so all are busy until the last one.
    """
    order = work.batch_indices()
    context = multiprocessing.get_context("spawn")
    taken = context.Value("q", 0)
    made: SimpleQueue[int] = context.SimpleQueue()
    arguments = (work, taken, made)
    processes = [
        context.Process(target=_make, args=arguments, daemon=True) for _ in range(work.workers)
    ]
    for process in processes:
        process.start()
    try:
        for _ in range(work.epochs * len(order)):
            yield None, order[made.get()]
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _make(work: Work, taken: Any, made: SimpleQueue[int]) -> None:
    order = work.batch_indices()
    while True:
        with taken:
            number = taken.value
            taken.value += 1
        if number >= work.epochs * len(order):
            return
        read_batch(work, order[number % len(order)])
        made.put(number % len(order))
