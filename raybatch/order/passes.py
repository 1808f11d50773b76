"""The order of one pass, or of several, where a batch can span two passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from raybatch.order.cursor import Cursor
from raybatch.order.indices import IndexArray
from raybatch.order.rows import Rows
from raybatch.order.shuffle import SeededShuffle, ShuffleRNG


class ArrayRun:
    """A run made of pieces of orders: index arrays, or objects that return one for a slice."""

    def __init__(self, pieces: list[tuple[Any, int, int]], position: int) -> None:
        self._pieces = pieces
        self._position = position
        self._length = sum(stop - start for _, start, stop in pieces)

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, stop: int) -> Rows:
        position, parts = self._position + start, []
        for order, begin, end in self._pieces:
            length = end - begin
            if start < length and stop > 0:
                parts.append(order[begin + max(start, 0) : begin + min(stop, length)])
            start, stop = start - length, stop - length
        indices = parts[0] if len(parts) == 1 else np.concatenate(parts or [np.arange(0)])
        return Rows.of(indices, position)


class InOrder:
    """The order 0, 1, 2, ..., `length` - 1, without an array in memory."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __getitem__(self, positions: slice, /) -> IndexArray:
        return np.arange(*positions.indices(self._length))


class Passes(Cursor):
    """`repeats` passes over `population` (-1: without end), in order or permuted by `rng`.

    `population` is a length or an index array. A run can span passes; only the last run is short. A
    permutation is drawn when its first index is needed. With more than one pass, one more
    permutation is drawn after the last pass, as in BatchUp. So a program that keeps using the
    generator gets the same second epoch as with BatchUp.
    """

    is_even = True

    def __init__(self, population: int | IndexArray, repeats: int, rng: ShuffleRNG | None) -> None:
        self._population = population
        self._length = population if isinstance(population, int) else len(population)
        self._repeats = repeats
        self._left = repeats
        self._rng = rng
        self._order: Any = None
        self._drawn = 0
        self._start = 0

    def step(self, size: int) -> ArrayRun | None:
        if self._drawn == 0:
            self._draw()
        pieces = []
        missing = size
        while missing and self._left != 0:
            stop = min(self._start + missing, self._length)
            pieces.append((self._order, self._start, stop))
            missing -= stop - self._start
            self._start = stop
            if self._repeats == 1:
                break
            # A run that ends with its pass does not begin the next pass, unless it already spans
            # two passes.
            if stop == self._length and (missing or len(pieces) > 1):
                self._draw()
                self._start = 0
                self._left -= self._left > 0
        run = ArrayRun(pieces, self.position)
        self.position += len(run)
        return run if len(run) else None

    def skip(self, size: int, steps: int) -> None:
        if not isinstance(self._rng, SeededShuffle | None):
            super().skip(size, steps)  # each draw depends on the draws before it
            return
        position = self.position + size * steps
        if self._repeats != -1:
            position = min(position, self._repeats * self._length)
        number, start = divmod(position, self._length) if self._length else (0, 0)
        if number == self._repeats:  # the end of the last pass, not the start of a new one
            number, start = number - 1, self._length
        if number >= self._drawn:
            if self._rng is not None:
                self._rng.skip_permutations(number - self._drawn)
            self._drawn = number
            self._draw()
        self._left = self._repeats - number if self._repeats != -1 else -1
        self._start, self.position = start, position

    def _draw(self) -> None:
        self._drawn += 1
        if self._rng is not None:
            self._order = self._rng.permutation(self._population)
        elif isinstance(self._population, int):
            self._order = InOrder(self._population)
        else:
            self._order = self._population
