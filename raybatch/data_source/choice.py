"""A source each of whose batches comes from one of its members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from raybatch.data_source.abstract import AbstractDataSource
from raybatch.data_source.batch import Batch, ChoiceBatch
from raybatch.data_source.members import MemberDataSource
from raybatch.sampling import Shuffle, ShuffleRNG, as_shuffle_rng, num_batches


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
        arguments = self._member_arguments(batch_size, {"shuffle": shuffle, **kwargs})
        iterators: list[Iterator[Any]] = [
            member.batch_iterator(batch_size, **own)
            for member, own in zip(self.datasets, arguments, strict=True)
        ]
        rng = as_shuffle_rng(shuffle)
        turns = self._turns(batch_size, rng, kwargs)
        return (batch for batch, _ in _take_turns(iterators, turns))

    def batch_indices_iterator(
        self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any
    ) -> Iterator[ChoiceBatch]:
        self._require_random_access("batch_indices_iterator")
        arguments = self._member_arguments(batch_size, {"shuffle": shuffle, **kwargs})
        iterators = [
            member.batch_indices_iterator(batch_size, **own)
            for member, own in zip(self.datasets, arguments, strict=True)
        ]
        rng = as_shuffle_rng(shuffle)
        return _take_turns(iterators, self._turns(batch_size, rng, kwargs))

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

    def _turns(
        self, batch_size: int, rng: ShuffleRNG | None, kwargs: dict[str, Any]
    ) -> Iterator[tuple[int, bool]]:
        """Iterate over (member, whether its end is the end of all)."""
        sizes = [member.num_samples(shuffle=rng, **kwargs) for member in self.datasets]
        if not self.stratified or np.inf in sizes:
            return _rounds(len(sizes), rng)
        for position, size in enumerate(sizes):
            if size is None:
                raise ValueError(
                    "a stratified choice must know how many samples each member has; "
                    f"datasets[{position}], a {type(self.datasets[position]).__name__}, "
                    "does not say"
                )
        counts = np.array([num_batches(int(size or 0), batch_size) for size in sizes])
        return _stratified(counts, rng)


def _take_turns(
    iterators: list[Iterator[Any]], turns: Iterator[tuple[int, bool]]
) -> Iterator[ChoiceBatch]:
    ended = object()
    for member, is_last in turns:
        batch = next(iterators[member], ended)
        if batch is not ended:
            yield ChoiceBatch(sample_indices=batch, ds_index=member)
        elif is_last:
            return


def _rounds(count: int, rng: ShuffleRNG | None) -> Iterator[tuple[int, bool]]:
    while True:
        order = range(count) if rng is None else rng.permutation(count)[:]
        for member in order:
            yield int(member), True


def _stratified(counts: np.ndarray[Any, Any], rng: ShuffleRNG | None) -> Iterator[tuple[int, bool]]:
    """Iterate over the members; one that ends before its count only loses its remaining turns."""
    if rng is None:
        members = _spread_evenly(counts)
    else:
        members = np.repeat(np.arange(len(counts)), counts)
        rng.shuffle(members)
    for member in members:
        yield int(member), False


def _spread_evenly(counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return each member i `counts[i]` times, in BatchUp's order: spread over the longest's batches."""
    steps = int(counts.max())
    if steps == 0:
        return np.arange(0)
    deltas = counts.astype(float) / steps
    due = np.zeros_like(deltas)
    previous = np.full(len(counts), -1)
    parts = []
    for _ in range(steps):
        # The quarter step keeps the sum of rounded deltas on the right side of each whole number.
        now = np.floor(due + 0.25 / steps).astype(int)
        parts.append(np.flatnonzero((now > previous) & (counts > 0)))
        previous = now
        due += deltas
    return np.concatenate(parts)
