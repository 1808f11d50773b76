"""The interface of a sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from raybatch.order.cursor import Cursor, IteratorCursor, overrides, runs
from raybatch.order.indices import IndexArray, amount, check_batch_size, num_batches
from raybatch.order.shuffle import SeededShuffle, ShuffleRNG


class AbstractSampler:
    """Cuts a data set's indices into batches.

    A subclass of your own implements `num_indices_generated`, and either `cursor` or one or both of
    the two iterators. With `cursor` a loader resumes an epoch at once, and can change its batch
    size. An index is absolute: it addresses the data set, not a subset of it. Instances must
    pickle.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({amount(self.num_indices_generated)})"

    def num_indices_generated(self) -> int | float | None:
        """Return the number of indices in one iteration: an int, `np.inf`, or None if unknown."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def map_indices(self, indices: Any) -> Any:
        """Return the absolute indices of the samples at `indices`: an int, array or slice."""
        return indices

    def check_length(self, length: int) -> None:
        """Raise IndexError if this sampler would draw an index that a data set of `length` lacks.

        ValueError if the sampler is made for fewer samples, because it would never draw the rest.
        """

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError if this order cannot give each rank batches of `batch_size`."""

    def num_batches(self, batch_size: int) -> int | float | None:
        """Return the number of batches in one iteration: an int, `np.inf`, or None if unknown."""
        size, samples = check_batch_size(batch_size), self.num_indices_generated()
        return samples if samples is None or samples == np.inf else num_batches(int(samples), size)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Cursor:
        """Return the start of an order drawn from `shuffle_rng`; unshuffled if that is None."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        """Return the draw number of the sample at each of `count` places from `position` on.

        Two draws of one sample in an epoch have different numbers. With the number as a key, a
        sample that comes again gets different random numbers.
        """
        return np.zeros(count, dtype=np.int64)

    def draw(self, rng: np.random.Generator) -> int:
        """Return the absolute index of one of the samples, drawn from `rng`."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot replace bad samples: it has no method `draw`"
        )

    def draw_instead(self, index: int, rng: np.random.Generator) -> int:
        """Return the absolute index of a sample that replaces sample `index`, drawn from `rng`."""
        return self.draw(rng)

    def without(self, indices: IndexArray) -> AbstractSampler:
        """Return a sampler without the samples at the absolute `indices`."""
        raise NotImplementedError(
            f"a {type(self).__name__} cannot leave samples out: it has no method `without`"
        )

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[IndexArray]:
        """Iterate over 1-D index arrays of `batch_size`, in order; the last can be short."""
        return _batches(self.cursor(None), batch_size)

    def shuffled_indices_batch_iterator(
        self, batch_size: int, shuffle_rng: ShuffleRNG
    ) -> Iterator[IndexArray]:
        """Iterate over 1-D index arrays of `batch_size`, in an order drawn from `shuffle_rng`."""
        return _batches(self.cursor(shuffle_rng), batch_size)


def _batches(cursor: Cursor, batch_size: int) -> Iterator[IndexArray]:
    size = check_batch_size(batch_size)
    return (run.part(0, len(run)).indices for run in runs(cursor, size))


def order_of(sampler: AbstractSampler, rng: ShuffleRNG | None) -> Cursor:
    """Return the cursor of `sampler`, made from its iterators if a subclass redefines them."""
    if rng is None:
        if overrides(sampler, "in_order_indices_batch_iterator", over="cursor"):
            return IteratorCursor(sampler.in_order_indices_batch_iterator)
    elif overrides(sampler, "shuffled_indices_batch_iterator", over="cursor"):
        if isinstance(rng, SeededShuffle):
            rng = rng.generator()
        return IteratorCursor(lambda size: sampler.shuffled_indices_batch_iterator(size, rng))
    return sampler.cursor(rng)
