"""How fast batches come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Times:
    """When batches came, in seconds.

    `start_s`: from when the first of all is asked for until it is there, the start of the workers included.
    `first_batch_s`: the same in the epochs after the first, the median of them. `images` came in those epochs,
    from `began` till `ended` by `time.perf_counter`.
    """

    start_s: float
    first_batch_s: float
    images: int
    began: float
    ended: float

    @property
    def images_per_s(self) -> float:
        return self.images / (self.ended - self.began)


def time_epochs(
    batches: Iterator[tuple[Any, Any]],
    images: int,
    epochs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Take one epoch of `images` images to warm up, and time the `epochs` that follow as one stretch.

    A loader that makes batches of the next epoch ahead has some when the stretch begins, and has made as many
    for later when it ends. ValueError if the batches are not those of so many epochs.
    """
    start_s = _take_epoch(batches, images, clock)
    began = clock()
    first_batches_s = [_take_epoch(batches, images, clock) for _ in range(epochs)]
    return Times(start_s, median(first_batches_s), epochs * images, began, clock())


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
