"""Sources that make any batch from an index array."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.order import (
    AbstractSampler,
    Cursor,
    Shuffle,
    StandardSampler,
    SubsetSampler,
    as_shuffle_rng,
    order_of,
)
from raybatch.sources.bad_samples import BadSample
from raybatch.sources.batch import Batch
from raybatch.sources.ledger import excluded
from raybatch.sources.source import AbstractDataSource


class RandomAccessDataSource(AbstractDataSource):
    """The base of sources with `length` samples that are addressed by index arrays.

    `indices` restricts it to a subset, `repeats` is the number of passes (-1: without end). A `sampler`
    takes the place of both. With `include_indices` each batch starts with the absolute indices of its
    samples, int `(n,)`. `exclude` leaves samples out: a ledger of bad samples, the path of a saved one, or a
    1-D integer array of absolute indices.
    """

    def __init__(
        self,
        length: int,
        indices: npt.ArrayLike | None = None,
        repeats: int = 1,
        sampler: AbstractSampler | None = None,
        include_indices: bool = False,
        exclude: Any = None,
    ) -> None:
        if sampler is None:
            if indices is None:
                sampler = StandardSampler(length, repeats=repeats)
            else:
                sampler = SubsetSampler(indices, repeats=repeats)
        elif repeats != 1:
            raise ValueError(f"repeats should be 1 when sampler is provided, not {repeats}")
        elif indices is not None:
            raise ValueError("indices should be None when sampler is provided")
        elif not isinstance(sampler, AbstractSampler):
            raise TypeError(f"sampler must be an AbstractSampler, not {type(sampler)}")
        sampler.check_length(length)
        self.sampler = sampler
        self.include_indices = include_indices
        if exclude is not None:
            self.sampler = self._sampler_without(excluded(exclude))

    @property
    def is_random_access(self) -> bool:
        return True

    # Unknown keyword arguments are an error here, where the base leaves them open.
    def num_samples(self, shuffle: Shuffle = None) -> int | float | None:  # type: ignore[override]
        return self.sampler.num_indices_generated()

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        """Return the samples at absolute `indices`, a 1-D integer array or a slice, as a tuple."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def samples_by_indices(self, indices: Any) -> Batch:
        """Return the samples at `indices`, counted within the subset that the sampler draws from."""
        return self.samples_by_indices_nomapping(self.sampler.map_indices(indices))

    def cursor(self, shuffle: Shuffle = None) -> Cursor:  # type: ignore[override]
        return order_of(self.sampler, as_shuffle_rng(shuffle))

    def draw(self, one: Any, rng: np.random.Generator) -> Any:
        return np.array([self.sampler.draw(rng)])

    def without(self, samples: Collection[BadSample]) -> RandomAccessDataSource:
        changed = copy.copy(self)
        changed.sampler = self._sampler_without(samples)
        return changed

    def _sampler_without(self, samples: Collection[BadSample]) -> AbstractSampler:
        for sample in samples:
            if sample.member:
                raise ValueError(
                    f"member {sample.member} of a {type(self).__name__} is to be left out, which has no "
                    "members: is the ledger that of another source?"
                )
            self._check_is_here(sample)
        return self.sampler.without(np.array([sample.index for sample in samples], np.int64))

    def _check_is_here(self, sample: BadSample) -> None:
        """Raise ValueError if the file of `sample` is not the one that is read here at its index."""
        # The folder may have moved, and a path may be relative there and absolute here.
        here = self.path_of(sample.index)
        if sample.path and here and os.path.basename(sample.path) != os.path.basename(here):
            raise ValueError(
                f"sample {sample.index} is to be left out, which was {sample.path!r} and is {here!r} here: "
                "make the list anew from these files, in this order"
            )

    def sample_numbers(self, indices: Any, position: Any) -> list[tuple[int, ...]]:
        if isinstance(position, np.ndarray):  # rows that need not follow each other
            draws = np.concatenate([self.sampler.draw_numbers(int(p), 1) for p in position])
        else:
            draws = self.sampler.draw_numbers(position, len(indices))
        return list(zip(indices.tolist(), draws.tolist(), strict=True))

    def batch_indices_iterator(  # type: ignore[override]
        self, batch_size: int, shuffle: Shuffle = None
    ) -> Iterator[Any]:
        """Iterate over the absolute indices of each batch: 1-D integer arrays, the last may be short.

        `shuffle`: None or False for in order, True for NumPy's global generator, an int seed, or a
        RandomState, Generator or `np.random` to draw from: one permutation a pass, when it is due.
        """
        return super().batch_indices_iterator(batch_size, shuffle=shuffle)

    def batch_iterator(  # type: ignore[override]
        self, batch_size: int, shuffle: Shuffle = None
    ) -> Iterator[Batch]:
        """Iterate over batches, each a tuple of arrays; `shuffle` as for `batch_indices_iterator`."""
        indices = self.batch_indices_iterator(batch_size, shuffle=shuffle)
        return (self.samples_by_indices_nomapping(batch) for batch in indices)
