"""All samples of a data set."""

from __future__ import annotations

import operator

import numpy as np

from raybatch.order.indices import IndexArray, check_index_range
from raybatch.order.passes import Passes, check_repeats
from raybatch.order.sampler import AbstractSampler
from raybatch.order.shuffle import ShuffleRNG
from raybatch.order.subset import SubsetSampler


class StandardSampler(AbstractSampler):
    """Draws each of `length` samples once a pass, for `repeats` passes (-1: without end)."""

    def __init__(self, length: int, repeats: int = 1) -> None:
        self.length = operator.index(length)
        self.repeats = check_repeats(repeats)
        if self.length < 0:
            raise ValueError(f"length must be 0 or more, not {length}")
        if self.length == 0 and self.repeats == -1:
            raise ValueError("an empty data set cannot be repeated without end (repeats=-1)")

    def num_indices_generated(self) -> int | float:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def check_length(self, length: int) -> None:
        if self.length > length:
            raise IndexError(
                f"the sampler draws from {self.length} samples, the data set has {length}"
            )

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Passes:
        """Return the start of the passes; each is one `shuffle_rng.permutation(length)`."""
        return Passes(self.length, self.repeats, shuffle_rng)

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        return np.arange(position, position + count) // max(self.length, 1)

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.length))

    def without(self, indices: IndexArray) -> SubsetSampler:
        check_index_range(indices, self.length)
        return SubsetSampler(np.setdiff1d(np.arange(self.length), indices), self.repeats)
