"""Batches cut out of one pass, or of several that wrap into one another."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from raybatch.sampling.batch_size import check_batch_size
from raybatch.sampling.indices import IndexArray


class Order(Protocol):
    """The indices of one pass; a slice of it is an index array."""

    def __getitem__(self, positions: slice, /) -> IndexArray: ...


class InOrder:
    """The order 0, 1, 2, ..., `length` - 1, which takes no memory."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __getitem__(self, positions: slice, /) -> IndexArray:
        return np.arange(*positions.indices(self._length))


def check_repeats(repeats: Any) -> int:
    """Return `repeats` as an int: 1 or more passes, or -1 for passes without end; else ValueError."""
    count = operator.index(repeats)
    if count == 0 or count < -1:
        raise ValueError(f"repeats must be 1 or more, or -1 for no end, not {count}")
    return count


def batches_of_passes(
    draw_pass: Callable[[], Order], length: int, repeats: int, batch_size: int
) -> Iterator[IndexArray]:
    """Iterate over batches cut from `repeats` passes of `length` indices each, -1 for no end.

    A batch may span passes; only the very last is short. `draw_pass` is called when the first index of
    a pass is due, and with more than one pass also once after the last: BatchUp draws so, and a program
    that goes on with the same generator gets the same second epoch.
    """
    return _cut(draw_pass, length, repeats, check_batch_size(batch_size))


def _cut(
    draw_pass: Callable[[], Order], length: int, repeats: int, batch_size: int
) -> Iterator[IndexArray]:
    order = draw_pass()
    if repeats == 1:
        for start in range(0, length, batch_size):
            yield order[start : start + batch_size]
        return
    start = 0
    while repeats != 0:
        if start + batch_size <= length:
            yield order[start : start + batch_size]
            start += batch_size
            continue
        parts: list[IndexArray] = []
        missing = batch_size
        while missing and repeats != 0:
            part = order[start : start + missing]
            parts.append(part)
            missing -= len(part)
            start += len(part)
            if start >= length:
                order, start = draw_pass(), 0
                repeats -= repeats > 0
        if missing < batch_size:
            yield np.concatenate(parts)
