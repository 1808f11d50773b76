"""Which samples make batch k of epoch e: a function of the source, the batch size and the shuffle."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from raybatch.data_source import AbstractDataSource
from raybatch.sampling import SeededShuffle, Shuffle, as_shuffle_rng, check_batch_size


@dataclass(frozen=True, slots=True)
class Task:
    """One batch to make: `indices` have the structure of the source; `is_last` of its epoch."""

    epoch: int
    batch: int
    indices: Any
    is_last: bool


class Plan:
    """The order of every epoch.

    With an int seed each epoch is a function of the seed and its number. A generator is copied when the plan
    is made, so whatever else draws from it cannot change the order; epochs are drawn one after the other,
    and the state at the start of each epoch drawn so far is kept, so any of them can begin again.
    """

    def __init__(self, source: AbstractDataSource, batch_size: int, shuffle: Shuffle) -> None:
        if not isinstance(source, AbstractDataSource):
            raise TypeError(f"source must be a data source, not {type(source)}")
        if not source.is_random_access:
            raise TypeError(
                f"source must have random access, and this {type(source).__name__} has not: batches of "
                "callables and iterators cannot be made by index; iterate over source.batch_iterator"
            )
        self.source = source
        self.batch_size = check_batch_size(batch_size)
        self._shuffle = _owned(shuffle)
        self._start_states: list[Any] = [copy.deepcopy(self._shuffle)]
        # What the source will not take is an error here, not at the first batch.
        source.batch_indices_iterator(self.batch_size, shuffle=self._rng(0))

    def tasks(self, epoch: int) -> Iterator[Task]:
        """Iterate over the tasks of `epoch` and of all that follow; nothing if an epoch is empty."""
        while True:
            indices = self._indices(epoch)
            current = next(indices, None)
            if current is None:
                return
            batch = 0
            while current is not None:
                following = next(indices, None)
                yield Task(epoch, batch, current, is_last=following is None)
                current, batch = following, batch + 1
            epoch += 1

    def num_batches(self, epoch: int) -> int:
        """Return the number of batches of `epoch`; TypeError if it has no end or cannot be known."""
        rng = self._rng(epoch)
        known = self.source.num_batches(self.batch_size, shuffle=rng)
        if known is None and self.source.num_samples(shuffle=rng) != np.inf:
            return sum(1 for _ in self.source.batch_indices_iterator(self.batch_size, shuffle=rng))
        if known is None or known == np.inf:
            raise TypeError(
                f"this {type(self.source).__name__} has no end, so an epoch has no len()"
            )
        return int(known)

    def _indices(self, epoch: int) -> Iterator[Any]:
        rng = self._rng(epoch)
        yield from self.source.batch_indices_iterator(self.batch_size, shuffle=rng)
        if _is_generator(rng) and len(self._start_states) == epoch + 1:
            self._start_states.append(rng)

    def _rng(self, epoch: int) -> Any:
        """Return the generator for one run through `epoch`."""
        if isinstance(self._shuffle, int):
            return SeededShuffle(self._shuffle, epoch)
        if self._shuffle is None:
            return None
        while len(self._start_states) <= epoch:
            for _ in self._indices(len(self._start_states) - 1):
                pass
        return copy.deepcopy(self._start_states[epoch])


def _owned(shuffle: Any) -> Any:
    """Return None, an int seed, or a generator that nobody else draws from."""
    if shuffle is True:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    rng = as_shuffle_rng(shuffle)
    if rng is None:
        return None
    if isinstance(rng, SeededShuffle):
        return int(shuffle)
    if isinstance(rng, ModuleType):
        return copy.deepcopy(np.random.mtrand._rand)
    return copy.deepcopy(rng)


def _is_generator(shuffle: Any) -> bool:
    return shuffle is not None and not isinstance(shuffle, SeededShuffle)
