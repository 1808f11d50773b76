"""Samplers that draw each sample once per pass: of a whole data set, or of a subset."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from raybatch.checks import int_between
from raybatch.order.indices import (
    IndexArray,
    as_index_array,
    check_covers,
    check_index_range,
    check_repeats,
)
from raybatch.order.passes import Passes
from raybatch.order.sampler import AbstractSampler
from raybatch.order.shuffle import ShuffleRNG


class PassSampler(AbstractSampler):
    """The base of samplers that draw each of `length` samples once per pass.

    `repeats` is the number of passes, -1 for no end.
    """

    def __init__(self, length: int, repeats: int, what: str) -> None:
        self.length = length
        self.repeats = check_repeats(repeats)
        if length == 0 and self.repeats == -1:
            raise ValueError(f"an empty {what} cannot be repeated without end (repeats=-1)")

    def num_indices_generated(self) -> int | float:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        return np.arange(position, position + count) // max(self.length, 1)

    def draw(self, rng: np.random.Generator) -> int:
        return int(self.map_indices(int(rng.integers(self.length))))


class StandardSampler(PassSampler):
    """Draws each of `length` samples once per pass, for `repeats` passes (-1: without end)."""

    def __init__(self, length: int, repeats: int = 1) -> None:
        super().__init__(int_between("length", length, 0), repeats, "data set")

    def check_length(self, length: int) -> None:
        check_covers(f"the sampler draws from {self.length} samples", self.length, length)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Passes:
        """Return the start of the passes; each is one `shuffle_rng.permutation(length)`."""
        return Passes(self.length, self.repeats, shuffle_rng)

    def without(self, indices: IndexArray) -> SubsetSampler:
        check_index_range(indices, self.length)
        return SubsetSampler(np.setdiff1d(np.arange(self.length), indices), self.repeats)


# Whether the indices of a subset repeat. It is not an attribute: a saved state describes those.
_repeating: WeakKeyDictionary[SubsetSampler, bool] = WeakKeyDictionary()


class SubsetSampler(PassSampler):
    """Draws each sample named in the 1-D integer array `indices` once per pass.

    A sample that is named twice is drawn twice, with different random numbers. `repeats` is the
    number of passes, or -1 for no end.
    """

    def __init__(self, indices: npt.ArrayLike, repeats: int = 1) -> None:
        self.indices = as_index_array(indices)
        super().__init__(len(self.indices), repeats, "subset")

    def map_indices(self, indices: Any) -> Any:
        return self.indices[indices]

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        if self not in _repeating:
            _repeating[self] = len(np.unique(self.indices)) < self.length
        if _repeating[self]:
            return np.arange(position, position + count)
        return super().draw_numbers(position, count)

    def check_length(self, length: int) -> None:
        check_index_range(self.indices, length)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Passes:
        """Return the start of the passes; each is one `shuffle_rng.permutation(indices)`."""
        return Passes(self.indices, self.repeats, shuffle_rng)

    def without(self, indices: IndexArray) -> SubsetSampler:
        return SubsetSampler(self.indices[~np.isin(self.indices, indices)], self.repeats)
