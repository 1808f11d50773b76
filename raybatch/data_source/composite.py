"""A source whose batches join one batch of each member."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from raybatch.data_source.abstract import AbstractDataSource
from raybatch.data_source.batch import Batch, trim_to_shortest
from raybatch.data_source.members import MemberDataSource


class CompositeDataSource(MemberDataSource):
    """Draws a batch from every member at each step, and ends with the member that ends first.

    A common use is semi-supervised learning: a few labelled samples again and again (`repeats=-1`) beside
    many unlabelled ones. With `flatten` a batch is one flat tuple `(x, y, u)`, otherwise
    `((x, y), (u,))`. With `trim` the arrays of a step are cut to the shortest. The indices of a batch are a
    tuple with one entry for each member.
    """

    def __init__(
        self, datasets: list[AbstractDataSource], flatten: bool = True, trim: bool = True
    ) -> None:
        super().__init__(datasets)
        self.flatten = flatten
        self.trim = trim

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return _smallest([member.num_samples(**kwargs) for member in self.datasets])

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return _smallest([member.num_batches(batch_size, **kwargs) for member in self.datasets])

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        arguments = self._member_arguments(batch_size, kwargs)
        iterators = [
            member.batch_iterator(batch_size, **own)
            for member, own in zip(self.datasets, arguments, strict=True)
        ]
        return (self._join(batches) for batches in zip(*iterators, strict=False))

    def batch_indices_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[tuple[Any, ...]]:
        self._require_random_access("batch_indices_iterator")
        arguments = self._member_arguments(batch_size, kwargs)
        iterators = [
            member.batch_indices_iterator(batch_size, **own)
            for member, own in zip(self.datasets, arguments, strict=True)
        ]
        return (
            trim_to_shortest(indices) if self.trim else indices
            for indices in zip(*iterators, strict=False)
        )

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        self._require_random_access("samples_by_indices_nomapping")
        members = self._with_indices(indices)
        return self._join(tuple(ds.samples_by_indices_nomapping(own) for ds, own in members))

    def samples_by_indices(self, indices: Any) -> Batch:
        self._require_random_access("samples_by_indices")
        members = self._with_indices(indices)
        return self._join(tuple(ds.samples_by_indices(own) for ds, own in members))

    def _with_indices(self, indices: Any) -> list[tuple[AbstractDataSource, Any]]:
        if len(indices) != len(self.datasets):
            raise ValueError(
                f"length mis-match: indices has {len(indices)} items, self has "
                f"{len(self.datasets)} data sources, should be equal"
            )
        return list(zip(self.datasets, indices, strict=True))

    def _join(self, batches: tuple[Batch, ...]) -> Batch:
        if self.trim:
            batches = trim_to_shortest(batches)
        return tuple(chain.from_iterable(batches)) if self.flatten else batches


def _smallest(counts: list[int | float | None]) -> int | float | None:
    known = [count for count in counts if count is not None]
    return min(known) if len(known) == len(counts) else None
