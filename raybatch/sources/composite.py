"""A source whose batches join one batch of each member."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from raybatch.order import (
    Cursor,
    RandomKeys,
    Run,
    check_batch_size,
    draws_in_turn,
    member_position,
)
from raybatch.sources.batch import Batch, trim_to_shortest
from raybatch.sources.members import MemberDataSource
from raybatch.sources.source import AbstractDataSource, keyed_batches


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

    @property
    def has_equal_lengths(self) -> bool:
        return self.trim and super().has_equal_lengths

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return _smallest([member.num_samples(**kwargs) for member in self.datasets])

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return _smallest([member.num_batches(batch_size, **kwargs) for member in self.datasets])

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        check_batch_size(batch_size)
        if self.uses_rng:
            return keyed_batches(self, batch_size, **kwargs)
        arguments = self._member_arguments(kwargs)
        iterators = [
            member.batch_iterator(batch_size, **own)
            for member, own in zip(self.datasets, arguments, strict=True)
        ]
        return (self._join(batches) for batches in zip(*iterators, strict=False))

    def cursor(self, **kwargs: Any) -> Cursor:
        in_turn = draws_in_turn(kwargs.get("shuffle"))
        return CompositeCursor(self._member_cursors(kwargs), self.trim, in_turn)

    def read(self, indices: Any, keys: RandomKeys) -> Batch:
        members = enumerate(self._with_indices(indices))
        return self._join(tuple(ds.read(own, keys.member(i)) for i, (ds, own) in members))

    def sample_numbers(self, indices: Any, position: Any) -> list[tuple[int, ...]]:
        members = enumerate(self._with_indices(indices))
        numbers = [ds.sample_numbers(own, member_position(position, i)) for i, (ds, own) in members]
        return [tuple(chain.from_iterable(rows)) for rows in zip(*numbers, strict=False)]

    def parts(self, indices: Any) -> list[tuple[int, AbstractDataSource, Any]]:
        return [(number, *part) for number, part in enumerate(self._with_indices(indices))]

    def draw(self, one: Any, rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple(ds.draw(own, rng) for ds, own in self._with_indices(one))

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


class CompositeCursor(Cursor):
    """Cursors that step together, until the first of them ends; `in_turn`: they draw from one generator."""

    def __init__(self, members: list[Cursor], trim: bool, in_turn: bool) -> None:
        self._members = members
        self._trim = trim
        self._in_turn = in_turn
        self.is_even = all(member.is_even for member in members)

    def step(self, size: int) -> Run | None:
        runs = []
        for member in self._members:
            run = member.step(size)
            if run is None:
                return None
            runs.append(run)
        run = CompositeRun(runs, self._trim)
        self.position += len(run)
        return run

    def skip(self, size: int, steps: int) -> None:
        if self._in_turn:
            super().skip(size, steps)
            return
        before = [member.position for member in self._members]
        for member in self._members:
            member.skip(size, steps)
        passed = [m.position - start for m, start in zip(self._members, before, strict=True)]
        # At most so many, if members have short runs on the way; only an even one's position is asked for.
        self.position += min(passed) if self._trim else max(passed)


class CompositeRun:
    """A run of each member: as long as the shortest, or if they are not trimmed as the longest."""

    def __init__(self, runs: list[Run], trim: bool) -> None:
        self._runs = runs
        self._length = (min if trim else max)(len(run) for run in runs)

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, stop: int) -> tuple[Any, ...]:
        return tuple(run.part(start, min(stop, len(run))) for run in self._runs)

    def position(self, start: int) -> tuple[Any, ...]:
        return tuple(run.position(start) for run in self._runs)
