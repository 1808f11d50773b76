"""A place in an order of samples, from which batches of any size are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from raybatch.order.batch_size import check_batch_size
from raybatch.order.indices import IndexArray


class Run(Protocol):
    """Consecutive samples of an order; their indices are made when they are asked for."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def part(self, start: int, stop: int) -> Any:
        """Return the indices of samples `start` up to `stop` of the run, in the source's structure."""
        ...

    def position(self, start: int) -> Any:
        """Return the place of sample `start` in the order, an int from 0 or, of members, a structure."""
        ...


class Cursor:
    """A place in an order, moved forward a run at a time. `position` counts the samples passed.

    A subclass implements `step`; `skip` if there is a faster way than to step. `is_even`: every run is of the
    size asked for, but for the last, so that the number of samples says the number of runs.
    """

    position = 0
    is_even = False

    def step(self, size: int) -> Run | None:
        """Return the next run, of `size` samples or the fewer that are left; None at the end."""
        raise NotImplementedError

    def skip(self, size: int, steps: int) -> None:
        """Move as `steps` times `step(size)` would."""
        for _ in range(steps):
            if self.step(size) is None:
                return

    def batches(self, size: int) -> Iterator[Any]:
        """Iterate over the indices of runs of `size` samples from here on; nothing is drawn till then."""
        return self._batches(check_batch_size(size))

    def _batches(self, size: int) -> Iterator[Any]:
        while (run := self.step(size)) is not None:
            yield run.part(0, len(run))


class ArrayRun:
    """A run cut out of index arrays, or of what gives one when it is sliced."""

    def __init__(self, pieces: list[tuple[Any, int, int]], position: int) -> None:
        self._pieces = pieces
        self._position = position
        self._length = sum(stop - start for _, start, stop in pieces)

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, stop: int) -> IndexArray:
        parts = []
        for order, begin, end in self._pieces:
            length = end - begin
            if start < length and stop > 0:
                parts.append(order[begin + max(start, 0) : begin + min(stop, length)])
            start, stop = start - length, stop - length
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.arange(0)])

    def position(self, start: int) -> int:
        return self._position + start


class IteratorCursor(Cursor):
    """The order of a sampler or source that only iterates: one size of batches, and no way but to step."""

    def __init__(self, iterate: Callable[[int], Iterator[Any]], length_of: Callable[[Any], int]):
        self._iterate = iterate
        self._length_of = length_of
        self._size: int | None = None
        self._batches_left: Iterator[Any] = iter(())

    def step(self, size: int) -> Run | None:
        if self._size is None:
            self._size, self._batches_left = size, self._iterate(size)
        if size != self._size:
            raise ValueError(
                f"this order gives batches of {self._size} samples, and cannot change to {size} within an "
                "epoch: its sampler or source only iterates; a `cursor` method would make it able to"
            )
        batch = next(self._batches_left, None)
        if batch is None:
            return None
        run = BatchRun(batch, self._length_of(batch), self.position)
        self.position += len(run)
        return run


class BatchRun:
    """A run whose indices are there already, in any structure of arrays."""

    def __init__(self, indices: Any, length: int, position: int) -> None:
        self._indices, self._length, self._position = indices, length, position

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, stop: int) -> Any:
        if (start, stop) == (0, self._length):
            return self._indices
        return _sliced(self._indices, start, stop)

    def position(self, start: int) -> int:
        return self._position + start


def _sliced(indices: Any, start: int, stop: int) -> Any:
    if isinstance(indices, np.ndarray):
        return indices[start:stop]
    if isinstance(indices, tuple):
        members = [_sliced(member, start, stop) for member in indices]
        return type(indices)(*members) if hasattr(indices, "_fields") else tuple(members)
    return indices


def overrides(instance: object, method: str, over: str) -> bool:
    """Return whether the class of `instance` defines `method` in a more derived class than `over`.

    Of two ways to say the same thing, a user's subclass may redefine either; the later word counts.
    """
    for cls in type(instance).__mro__:
        if over in vars(cls):
            return False
        if method in vars(cls):
            return True
    return False
