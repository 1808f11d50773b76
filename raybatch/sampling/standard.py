"""All samples of a data set."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import partial

import numpy as np

from raybatch.sampling.abstract import AbstractSampler
from raybatch.sampling.indices import IndexArray
from raybatch.sampling.passes import InOrder, batches_of_passes, check_repeats
from raybatch.sampling.shuffle import ShuffleRNG


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

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[IndexArray]:
        return batches_of_passes(
            partial(InOrder, self.length), self.length, self.repeats, batch_size
        )

    def shuffled_indices_batch_iterator(
        self, batch_size: int, shuffle_rng: ShuffleRNG
    ) -> Iterator[IndexArray]:
        """Iterate over batches; each pass is one `shuffle_rng.permutation(length)`, drawn when due."""
        draw_pass = partial(shuffle_rng.permutation, self.length)
        return batches_of_passes(draw_pass, self.length, self.repeats, batch_size)
