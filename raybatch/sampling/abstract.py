"""The interface of a sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raybatch.sampling.indices import IndexArray
from raybatch.sampling.shuffle import ShuffleRNG


class AbstractSampler:
    """Cuts a data set's indices into batches.

    A subclass of your own implements the first method and whichever iterators make sense for it. An
    index is absolute: it addresses the data set, not a subset of it. Instances must pickle.
    """

    def num_indices_generated(self) -> int | float | None:
        """Return the number of indices in one iteration: an int, `np.inf`, or None if unknown."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def map_indices(self, indices: Any) -> Any:
        """Return the absolute indices of the samples at positions `indices` (ints, array or slice)."""
        return indices

    def check_length(self, length: int) -> None:
        """Raise IndexError if this sampler would draw an index that a data set of `length` lacks."""

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[IndexArray]:
        """Iterate over 1-D index arrays of `batch_size`, in order; the last may be short."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def shuffled_indices_batch_iterator(
        self, batch_size: int, shuffle_rng: ShuffleRNG
    ) -> Iterator[IndexArray]:
        """Iterate over 1-D index arrays of `batch_size`, in an order drawn from `shuffle_rng`."""
        raise NotImplementedError(f"abstract for type {type(self)}")
