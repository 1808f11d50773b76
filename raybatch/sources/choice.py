"""A source each of whose batches comes from one of its members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from raybatch.order import (
    Cursor,
    RandomKeys,
    Run,
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    check_batch_size,
    draws_in_turn,
    member_position,
)
from raybatch.sources.batch import Batch, ChoiceBatch
from raybatch.sources.members import MemberDataSource
from raybatch.sources.source import AbstractDataSource, MapDataSource, keyed_batches
from raybatch.sources.turns import Rounds, Stratified, Turns


class ChoiceDataSource(MemberDataSource):
    """Draws each batch from one member, such as one of several domains.

    Members take turns (shuffled: in a new random order each round) until one of them ends. With `stratified`,
    and if every member is finite, all batches of all members are drawn, spread evenly over the iteration
    (shuffled: at random). The indices of a batch are a `ChoiceBatch`.
    """

    def __init__(self, datasets: list[AbstractDataSource], stratified: bool = False) -> None:
        super().__init__(datasets)
        self.stratified = stratified

    def num_samples(self, **kwargs: Any) -> int | float:
        """Return the sum over the members; one of unknown size counts as 0."""
        return sum(member.num_samples(**kwargs) or 0 for member in self.datasets)

    def num_batches(
        self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any
    ) -> int | float | None:
        """Return the number of batches, None where the random order of the members decides it."""
        counts = [ds.num_batches(batch_size, shuffle=shuffle, **kwargs) for ds in self.datasets]
        if any(count is None for count in counts):
            return None
        known = [count for count in counts if count is not None]
        if self.stratified and np.inf not in known:
            return sum(known)
        rounds = min(known)
        if as_shuffle_rng(shuffle) is not None and len(set(known)) > 1 and rounds != np.inf:
            return None
        return rounds * len(known) + known.index(rounds)

    def batch_iterator(
        self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any
    ) -> Iterator[Batch]:
        check_batch_size(batch_size)
        if self.uses_rng:
            return keyed_batches(self, batch_size, shuffle=shuffle, **kwargs)
        arguments = self._member_arguments({"shuffle": shuffle, **kwargs})
        iterators = [
            member.batch_iterator(batch_size, **own)
            for member, own in zip(self.datasets, arguments, strict=True)
        ]
        rng = as_shuffle_rng(shuffle)
        turns = self._turns(rng, self._sizes(rng, kwargs))
        return (batch for batch, _ in _take_turns(batch_size, iterators, turns))

    def cursor(self, shuffle: Shuffle = None, **kwargs: Any) -> Cursor:
        rng = as_shuffle_rng(shuffle)
        members = self._member_cursors({"shuffle": shuffle, **kwargs})
        turns = self._turns(rng, self._sizes(rng, kwargs))
        return ChoiceCursor(members, turns, draws_in_turn(rng))

    def read(self, indices: Any, keys: RandomKeys) -> Batch:
        member, own = self._chosen(indices)
        return member.read(own, keys.member(indices.ds_index))

    def sample_numbers(self, indices: Any, position: Any) -> list[tuple[int, ...]]:
        member, own = self._chosen(indices)
        numbers = member.sample_numbers(own, member_position(position, indices.ds_index))
        return [(indices.ds_index, *row) for row in numbers]

    def parts(self, indices: Any) -> list[tuple[int, AbstractDataSource, Any]]:
        return [(indices.ds_index, *self._chosen(indices))]

    def draw(self, one: Any, rng: np.random.Generator) -> ChoiceBatch:
        member, own = self._chosen(one)
        return ChoiceBatch(member.draw(own, rng), one.ds_index)

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        self._require_random_access("samples_by_indices_nomapping")
        member, own = self._chosen(indices)
        return member.samples_by_indices_nomapping(own)

    def samples_by_indices(self, indices: Any) -> Batch:
        self._require_random_access("samples_by_indices")
        member, own = self._chosen(indices)
        return member.samples_by_indices(own)

    def _chosen(self, indices: Any) -> tuple[AbstractDataSource, Any]:
        if not isinstance(indices, ChoiceBatch):
            raise TypeError(f"indices should be a ChoiceBatch, not a {type(indices)}")
        return self.datasets[indices.ds_index], indices.sample_indices

    def _sizes(self, rng: ShuffleRNG | None, kwargs: dict[str, Any]) -> list[int | float | None]:
        return [member.num_samples(shuffle=rng, **kwargs) for member in self.datasets]

    def _turns(self, rng: ShuffleRNG | None, sizes: list[int | float | None]) -> Turns:
        if not self.stratified or np.inf in sizes:
            return Rounds(len(sizes), rng)
        for position, size in enumerate(sizes):
            if size is None:
                raise ValueError(
                    "a stratified choice must know how many samples each member has; "
                    f"datasets[{position}], a {type(self.datasets[position]).__name__}, "
                    "does not say"
                )
        uneven = {i for i, member in enumerate(self.datasets) if _holds_choice(member)}
        return Stratified([int(size or 0) for size in sizes], uneven, rng)


class ChoiceCursor(Cursor):
    """Cursors of which one steps at a time; `in_turn`: they and the turns draw from one generator."""

    def __init__(self, members: list[Cursor], turns: Turns, in_turn: bool) -> None:
        self._members = members
        self._turns = turns
        self._in_turn = in_turn
        self._are_even = all(member.is_even for member in members)

    def step(self, size: int) -> Run | None:
        while (member := self._turns.next(size, self._passed())) is not None:
            run = self._members[member].step(size)
            if run is not None:
                self.position += len(run)
                return ChoiceRun(run, member, len(self._members))
            if self._turns.end_together:
                break
            self._turns.ended(member)
        return None

    def skip(self, size: int, steps: int) -> None:
        if self._in_turn or not (self._turns.end_together or self._are_even):
            super().skip(size, steps)  # a turn of a member that has ended already is no step
            return
        if steps == 0:
            return  # turns may be laid out anew for this size only when one is taken
        before = sum(self._passed())
        turns = self._turns.skip(size, steps, self._passed())
        for member, count in zip(self._members, turns, strict=True):
            member.skip(size, int(count))
        self.position += sum(self._passed()) - before

    def _passed(self) -> list[int]:
        return [member.position for member in self._members]


class ChoiceRun:
    """A run of one of `count` members."""

    def __init__(self, run: Run, member: int, count: int) -> None:
        self._run, self._member, self._count = run, member, count

    def __len__(self) -> int:
        return len(self._run)

    def part(self, start: int, stop: int) -> ChoiceBatch:
        return ChoiceBatch(self._run.part(start, stop), self._member)

    def position(self, start: int) -> tuple[Any, ...]:
        return tuple(
            self._run.position(start) if member == self._member else 0
            for member in range(self._count)
        )


def _take_turns(
    batch_size: int, iterators: list[Iterator[Any]], turns: Turns
) -> Iterator[ChoiceBatch]:
    ended = object()
    nothing_passed = [0] * len(iterators)
    while (member := turns.next(batch_size, nothing_passed)) is not None:
        batch = next(iterators[member], ended)
        if batch is not ended:
            yield ChoiceBatch(sample_indices=batch, ds_index=member)
        elif turns.end_together:
            return
        else:
            turns.ended(member)


def _holds_choice(source: AbstractDataSource) -> bool:
    """Return whether short batches of members may come before the end of `source`."""
    if isinstance(source, MapDataSource):
        return _holds_choice(source.source)
    if isinstance(source, MemberDataSource):
        return isinstance(source, ChoiceDataSource) or any(map(_holds_choice, source.datasets))
    return False
