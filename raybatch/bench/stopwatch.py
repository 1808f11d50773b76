"""How fast batches come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Times:
    """What one contender did in one round.

    `start_s`: from when its first batch is asked for until it is there, the start of its workers included.
    `first_batch_s`: the same in the epochs after the first, the median of them. `images` came in `seconds`
    in those epochs, which took `cpu_s` seconds of CPU time, of all processes together.
    """

    start_s: float
    first_batch_s: float
    images: int
    seconds: float
    cpu_s: float


def time_epochs(
    batches: Iterator[tuple[Any, Any]],
    images: int,
    epochs: int,
    *,
    cpu_seconds: Callable[[], float],
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Take one epoch of `images` images to warm up, and time the `epochs` that follow as one stretch.

    ValueError if the batches are not those of so many epochs.
    """
    start_s = _take_epoch(batches, images, clock)
    cpu_before, began = cpu_seconds(), clock()
    first_batches_s = [_take_epoch(batches, images, clock) for _ in range(epochs)]
    seconds, cpu_s = clock() - began, cpu_seconds() - cpu_before
    return Times(start_s, median(first_batches_s), epochs * images, seconds, cpu_s)


def _take_epoch(
    batches: Iterator[tuple[Any, Any]],
    images: int,
    clock: Callable[[], float],
) -> float:
    """Take the batches of one epoch, and return the seconds until the first was there."""
    began, first_batch_s, seen = clock(), 0.0, 0
    while seen < images:
        batch, indices = next(batches, (None, ()))
        if seen == 0:
            first_batch_s = clock() - began
        if batch is not None:
            int(batch[0, 0, 0, 0])  # as little as a consumer can do
        if not len(indices):
            raise ValueError(f"an epoch ended after {seen} of {images} images")
        seen += len(indices)
    if seen > images:
        raise ValueError(f"an epoch had {seen} images, not {images}")
    return first_batch_s
