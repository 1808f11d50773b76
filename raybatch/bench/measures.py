"""Checks the pixels of a contender, and measures how fast its batches come."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from raybatch.bench import draws
from raybatch.bench.contenders import Contender
from raybatch.bench.work import Batches, Work

_ROUNDING = 1e-3


@dataclass(frozen=True)
class Seen:
    """The indices of each batch, and for each index the look of its image in each epoch.

    A look is a digest of the pixels or, if the recipe is random, the means of cells.
    """

    batches: list[list[int]]
    looks: dict[int, list[Any]]


def epochs_to_look_at(work: Work) -> int:
    """Return the number of epochs that a check of the pixels takes."""
    return draws.epochs_to_draw(len(work.paths)) if work.recipe.is_random else 1


def look_at(batches: Iterable[tuple[Any, Any]], work: Work) -> Seen:
    """Return the indices and looks of `batches`.

    ValueError for a shape, dtype or range other than the recipe's.
    """
    order: list[list[int]] = []
    looks: dict[int, list[Any]] = {}
    for images, indices in batches:
        order.append([int(index) for index in indices])
        pixels = np.asarray(images)
        _check_batch(pixels, len(order[-1]), work)
        for index, image in zip(order[-1], pixels, strict=True):
            look = draws.cells_of(image) if work.recipe.is_random else _digest(image)
            looks.setdefault(index, []).append(look)
    return Seen(order, looks)


def _check_batch(pixels: Any, count: int, work: Work) -> None:
    recipe = work.recipe
    wanted = (count, *recipe.shape(work.size))
    if pixels.shape != wanted or pixels.dtype != recipe.dtype:
        should_be = f"{np.dtype(recipe.dtype)} {wanted}"
        raise ValueError(f"a batch is {pixels.dtype} {pixels.shape}; it should be {should_be}")
    lowest, highest = pixels.min(), pixels.max()
    if not (recipe.lowest - _ROUNDING <= lowest and highest <= recipe.highest + _ROUNDING):
        raise ValueError(
            f"a batch has values from {lowest:.2f} to {highest:.2f}; "
            f"they should be from {recipe.lowest:.2f} to {recipe.highest:.2f}"
        )


def _digest(image: Any) -> str:
    return hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest()


def difference(contender: Contender, seen: Seen, reference: Seen, work: Work) -> str | None:
    """Return how `seen` differs from the output that `contender` should give; None if it is right.

    `reference` comes from the plain loop; both are of `work.epochs` epochs.
    """
    came = [index for batch in seen.batches for index in batch]
    images = len(work.paths)
    if sorted(came) != sorted(work.epochs * list(range(images))):
        should = work.epochs * images
        return (
            f"{len(set(came))} different images of {images} came, {len(came)} in all epochs instead"
            f" of {should}"
        )
    if work.recipe.is_random:
        return draws.difference(seen.looks, reference.looks)
    if contender.keeps_order and seen.batches != reference.batches:
        return "the batches hold other samples than those of the plain loop"
    others = [index for index in sorted(came) if seen.looks[index] != reference.looks[index]]
    if contender.is_exact and others:
        return (
            f"{len(others)} of {len(came)} images have other pixels than those of the plain loop,"
            f" such as {work.paths[others[0]]}"
        )
    return None


@dataclass(frozen=True)
class Times:
    """The times of batches.

    Args:
        start_s: The seconds to the very first batch, including the start of the workers.
        first_batch_s: The median of the seconds to the first batch of the later epochs.
        images: The number of images in the later epochs.
        began: The time when the later epochs began, by `time.perf_counter`.
        ended: The time when they ended.
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
    """Take one epoch of `images` images to warm up, and time the next `epochs` as one stretch.

    A loader that works ahead has some batches ready when the stretch begins, and has made as many
    for the next epoch when it ends, so this does not change its rate. ValueError if the batches do
    not make that many epochs.
    """
    start_s = _take_epoch(batches, images, clock)
    began = clock()
    first_batches_s = [_take_epoch(batches, images, clock) for _ in range(epochs)]
    return Times(start_s, median(first_batches_s), epochs * images, began, clock())


def _take_epoch(batches: Batches, images: int, clock: Callable[[], float]) -> float:
    """Take the batches of one epoch, and return the seconds to its first batch."""
    began, first_batch_s, seen = clock(), 0.0, 0
    while seen < images:
        batch, indices = next(batches, (None, ()))
        if seen == 0:
            first_batch_s = clock() - began
        if batch is not None:
            float(batch[0, 0, 0, 0])  # the least that a consumer can do
        if not len(indices):
            raise ValueError(f"an epoch ended after {seen} of {images} images")
        seen += len(indices)
    if seen > images:
        raise ValueError(f"an epoch had {seen} images, not {images}")
    return first_batch_s
