"""Some samples of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import IndexArray, as_index_array, check_index_range
from raybatch.order.passes import Passes, check_repeats
from raybatch.order.sampler import AbstractSampler
from raybatch.order.shuffle import ShuffleRNG


class SubsetSampler(AbstractSampler):
    """Draws each of the samples that the 1-D integer array `indices` names once a pass.

    `repeats` is the number of passes, -1 for passes without end.
    """

    def __init__(self, indices: npt.ArrayLike, repeats: int = 1) -> None:
        self.indices = as_index_array(indices)
        self.length = len(self.indices)
        self.repeats = check_repeats(repeats)
        if self.length == 0 and self.repeats == -1:
            raise ValueError("an empty subset cannot be repeated without end (repeats=-1)")

    def num_indices_generated(self) -> int | float:
        return np.inf if self.repeats == -1 else self.length * self.repeats

    def map_indices(self, indices: Any) -> Any:
        return self.indices[indices]

    def check_length(self, length: int) -> None:
        check_index_range(self.indices, length)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Passes:
        """Return the start of the passes; each is one `shuffle_rng.permutation(indices)`."""
        return Passes(self.indices, self.repeats, shuffle_rng)

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        return np.arange(position, position + count) // max(self.length, 1)

    def draw(self, rng: np.random.Generator) -> int:
        return int(self.indices[rng.integers(self.length)])

    def without(self, indices: IndexArray) -> SubsetSampler:
        return SubsetSampler(self.indices[~np.isin(self.indices, indices)], self.repeats)
