"""Batches of p groups with k samples each, for losses that compare samples."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import positive_int
from raybatch.order.cursor import Cursor
from raybatch.order.groups import GroupsSampler
from raybatch.order.indices import IndexArray
from raybatch.order.passes import ArrayRun
from raybatch.order.shuffle import ShuffleRNG, seeded_by
from raybatch.order.weighted import class_numbers

_MOST_PERMUTATIONS = 1024


class PKSampler(GroupsSampler):
    """Draws batches of `p` groups with `k` samples each; cannot draw in order.

    The loader's `batch_size` is `p * k` or a multiple of it, and each rank draws groups of its own.

    All groups come equally often, small ones too. Each round gives every group one turn, in a
    random order. If `p` does not divide the number of groups, the last few in this order are left
    out of the round, and skip `k` of their samples. Otherwise a group draws all of its samples
    before it repeats one. A group with fewer than `k` samples repeats some within a batch.

    Args:
        groups: The group of each sample, such as its class, `(n,)`: integers or strings.
        p: The number of groups in a batch.
        k: The number of samples of each group in a batch.
        num_samples: The number of draws in an epoch. None for the number of samples, rounded down
            to whole batches of `p * k`.
        indices: The absolute indices of the samples to draw from, or None for all.

    Raises:
        TypeError: If `groups` are neither integers nor strings.
        ValueError: If `p`, `k` or `num_samples` is below 1, a group is missing, or fewer than `p`
            groups have samples.
        IndexError: If an index is out of range.
    """

    def __init__(
        self,
        groups: npt.ArrayLike,
        p: int,
        k: int,
        num_samples: int | None = None,
        indices: npt.ArrayLike | None = None,
    ) -> None:
        numbers = class_numbers(groups)
        super().__init__(numbers, int(numbers.max(initial=-1)) + 1, indices)
        self.p, self.k = positive_int("p", p), positive_int("k", k)
        lengths = np.diff(self._starts)
        self._present = np.flatnonzero(lengths)
        if len(self._present) < self.p:
            raise ValueError(f"p is {p}, but only {len(self._present)} groups have samples")
        together = self.p * self.k
        if num_samples is None:
            num_samples = max(1, int(lengths.sum()) // together) * together
        self.num_samples = positive_int("num_samples", num_samples)

    def num_indices_generated(self) -> int:
        return self.num_samples

    def check_batch_size(self, batch_size: int) -> None:
        if batch_size % (self.p * self.k):
            raise ValueError(
                f"batch_size must be p * k = {self.p} * {self.k} = {self.p * self.k}, or a multiple"
                f" of it, not {batch_size}"
            )

    def draw_numbers(self, position: int, count: int) -> IndexArray:
        return np.arange(position, position + count)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> PKCursor:
        """Return the start of the draws; NotImplementedError without a shuffle.

        With a generator, one seed is drawn for all of them.
        """
        if shuffle_rng is None:
            raise NotImplementedError("a PKSampler cannot sample in order: give a shuffle")
        in_groups = [
            self._members[self._starts[g] : self._starts[g + 1]] for g in self._present.tolist()
        ]
        return PKCursor(in_groups, self.p, self.k, self.num_samples, shuffle_rng)

    def without(self, indices: IndexArray) -> PKSampler:
        stays = self._members_without(indices)
        return PKSampler(self.groups, self.p, self.k, self.num_samples, stays)


class PKCursor(Cursor):
    """`count` draws in turns: a turn is `k` samples of one of `groups`.

    The number of turns in a round is the largest multiple of `p` that the number of groups allows.
    """

    is_even = True

    def __init__(
        self, groups: list[IndexArray], p: int, k: int, count: int, rng: ShuffleRNG
    ) -> None:
        self._groups, self._k, self._count, self._rng = groups, k, count, rng
        self._turns = len(groups) // p * p  # turns in a round
        self._permutation: Any = None

    def step(self, size: int) -> ArrayRun | None:
        if self._permutation is None:
            self._begin()
        start, stop = self.position, min(self.position + size, self._count)
        self.position = stop
        return ArrayRun([(self, start, stop)], start) if start < stop else None

    def skip(self, size: int, steps: int) -> None:
        if steps and self._permutation is None:
            self._begin()
        self.position = min(self.position + size * steps, self._count)

    def __getitem__(self, places: slice) -> IndexArray:
        """Return the draws at `places`."""
        first, last = places.start // self._k, -(-places.stop // self._k)
        drawn = np.concatenate([np.arange(0), *map(self._turn, range(first, last))])
        return drawn[places.start - first * self._k : places.stop - first * self._k]

    def _begin(self) -> None:
        shuffle = seeded_by(self._rng)

        def permutation(child: int, number: int, length: int) -> Any:
            own = shuffle.child(child)
            own.skip_permutations(number)
            return own.permutation(length)

        self._permutation = lru_cache(_MOST_PERMUTATIONS)(permutation)

    def _turn(self, number: int) -> IndexArray:
        """Return the samples of turn `number`.

        In round r, a group gives draws r * k to (r + 1) * k of its passes.
        """
        round_number, turn = divmod(number, self._turns)
        count = len(self._groups)
        group = int(self._permutation(count, round_number, count)[turn])
        members = self._groups[group]
        places = np.arange(round_number * self._k, (round_number + 1) * self._k)
        passes, places = np.divmod(places, len(members))
        drawn = [
            self._permutation(group, int(n), len(members))[places[passes == n]]
            for n in np.unique(passes)
        ]
        samples: IndexArray = members[np.concatenate(drawn)]
        return samples
