"""What is measured of a contender: whether its pixels are right, and how fast its batches come."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from raybatch.bench.contenders import Contender
from raybatch.bench.work import Batches, Work


@dataclass(frozen=True)
class Seen:
    """What came in one epoch: the indices of each batch, and a digest of the image at each index."""

    batches: list[list[int]]
    digests: dict[int, str]


def look_at(batches: Iterable[tuple[Any, Any]], work: Work) -> Seen:
    """Return what `batches` are; ValueError for one that is no uint8 `(n, height, width, 3)`."""
    order: list[list[int]] = []
    digests: dict[int, str] = {}
    for images, indices in batches:
        order.append([int(index) for index in indices])
        pixels = np.asarray(images)
        wanted = (len(order[-1]), *work.size, 3)
        if pixels.shape != wanted or pixels.dtype != np.uint8:
            raise ValueError(
                f"a batch is {pixels.dtype} {pixels.shape}; it should be uint8 {wanted}"
            )
        for index, image in zip(order[-1], pixels, strict=True):
            digests[index] = hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest()
    return Seen(order, digests)


def difference(contender: Contender, seen: Seen, reference: Seen, work: Work) -> str | None:
    """Return in what way `seen` is not what `contender` should give, or None if it is right.

    `reference` is what the plain loop gives.
    """
    came = [index for batch in seen.batches for index in batch]
    if sorted(came) != list(range(len(work.paths))):
        return f"{len(set(came))} of {len(work.paths)} images came, {len(came)} in all"
    if contender.keeps_order and seen.batches != reference.batches:
        return "the batches are not those of the plain loop"
    others = [index for index in sorted(came) if seen.digests[index] != reference.digests[index]]
    if contender.is_exact and others:
        return (
            f"{len(others)} of {len(came)} images have other pixels than the plain loop, "
            f"such as {work.paths[others[0]]}"
        )
    return None


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
    batches: Batches,
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


def _take_epoch(batches: Batches, images: int, clock: Callable[[], float]) -> float:
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
