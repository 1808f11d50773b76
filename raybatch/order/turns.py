"""The order in which a choice source takes batches from its children."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import num_batches
from raybatch.order.shares import MemberShares
from raybatch.order.shuffle import SeededShuffle, ShuffleRNG

# The number of steps that are laid out together.
_STEPS_AT_ONCE = 2**14


class Turns:
    """The order in which children take turns.

    With `end_together`, the first child without a batch ends the iteration.
    """

    end_together: bool

    def next(self, batch_size: int, passed: list[int]) -> int | None:
        """Return the child whose turn it is, None after the last turn.

        `batch_size` is the size of this turn's batch, and `passed` the number of samples drawn so
        far from each child. Both matter only if the batch size changes within an epoch.
        """
        raise NotImplementedError

    def ended(self, child: int) -> None:
        """Record that `child` had no batch left at its turn."""

    def skip(self, batch_size: int, steps: int, passed: list[int]) -> npt.NDArray[np.int64]:
        """Skip the next `steps` turns, and return how many of them each child had.

        This needs a seed or no shuffle: each draw of a generator depends on the draws before it.
        """
        raise NotImplementedError


class Rounds(Turns):
    """Each of `count` children once per round: in order, or in a new random order each round."""

    end_together = True

    def __init__(self, count: int, rng: ShuffleRNG | None) -> None:
        self._count = count
        self._rng = rng
        self._round: deque[int] = deque()

    def next(self, batch_size: int, passed: list[int]) -> int:
        if not self._round:
            order = (
                range(self._count) if self._rng is None else self._rng.permutation(self._count)[:]
            )
            self._round.extend(int(child) for child in order)
        return self._round.popleft()

    def skip(self, batch_size: int, steps: int, passed: list[int]) -> npt.NDArray[np.int64]:
        turns = np.zeros(self._count, dtype=np.int64)
        while steps and (self._round or steps < self._count):
            turns[self.next(batch_size, passed)] += 1
            steps -= 1
        rounds, rest = divmod(steps, self._count)
        if isinstance(self._rng, SeededShuffle):
            self._rng.skip_permutations(rounds)
        turns += rounds
        return turns + self.skip(batch_size, rest, passed) if rest else turns


class Weighted(Turns):
    """Turns by weight: after n turns, child i has had its share of them, rounded.

    See `MemberShares` for the rule. Nothing is drawn at random.
    """

    end_together = True

    def __init__(self, weights: Sequence[float]) -> None:
        self._shares = MemberShares([(0, weights)])
        self._next = 0

    def next(self, batch_size: int, passed: list[int]) -> int:
        self._next += 1
        return int(self._shares.members(self._next - 1, self._next)[0])

    def skip(self, batch_size: int, steps: int, passed: list[int]) -> npt.NDArray[np.int64]:
        before = np.array(self._shares.counts(self._next))
        self._next += steps
        turns: npt.NDArray[np.int64] = np.array(self._shares.counts(self._next)) - before
        return turns

    def num_turns(self, counts: Sequence[int | float]) -> int | float:
        """Return the number of turns until a child has no batch left; child i has `counts[i]`."""
        ends = (
            self._shares.place_of(child, int(count))
            for child, count in enumerate(counts)
            if count != np.inf
        )
        return min(ends, default=np.inf)


class Stratified(Turns):
    """As many turns for each child as it has batches: spread evenly, or shuffled.

    If the batch size changes within the epoch, the turns for the remaining samples are laid out
    again. The number of batches of a child in `uneven` does not follow from its number of samples.
    Its remaining batches come after the last turn, child by child; BatchUp would lose them.
    """

    end_together = False

    def __init__(self, sizes: list[int], uneven: set[int], rng: ShuffleRNG | None) -> None:
        self._sizes = sizes
        self._uneven = uneven
        self._rng = rng
        self._batch_size: int | None = None
        self._order: npt.NDArray[Any] = np.arange(0)
        self._next = 0

    def next(self, batch_size: int, passed: list[int]) -> int | None:
        self._lay_out(batch_size, passed)
        if self._next == len(self._order):
            return min(self._uneven, default=None)
        self._next += 1
        return int(self._order[self._next - 1])

    def ended(self, child: int) -> None:
        self._uneven.discard(child)

    def skip(self, batch_size: int, steps: int, passed: list[int]) -> npt.NDArray[np.int64]:
        self._lay_out(batch_size, passed)
        left_out = self._order[self._next : self._next + steps]
        self._next += len(left_out)
        return np.bincount(left_out, minlength=len(self._sizes))

    def _lay_out(self, batch_size: int, passed: list[int]) -> None:
        if batch_size == self._batch_size:
            return
        left = [max(0, size - done) for size, done in zip(self._sizes, passed, strict=True)]
        counts = np.array([num_batches(samples, batch_size) for samples in left])
        if self._rng is None:
            self._order = _spread_evenly(counts)
        else:
            self._order = np.repeat(np.arange(len(counts)), counts)
            self._rng.shuffle(self._order)
        self._batch_size, self._next = batch_size, 0


def _spread_evenly(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each child i `counts[i]` times, spread evenly in the order that BatchUp uses."""
    steps = int(counts.max())
    if steps == 0:
        return np.arange(0)
    deltas = counts.astype(float) / steps
    due = np.zeros((1, len(counts)))
    previous = np.full((1, len(counts)), -1)
    parts = []
    for start in range(0, steps, _STEPS_AT_ONCE):
        count = min(_STEPS_AT_ONCE, steps - start)
        # `accumulate` adds the deltas one after the other; a product would be rounded differently.
        due = np.add.accumulate(np.concatenate([due[-1:], np.tile(deltas, (count, 1))]))
        # The quarter step keeps the rounding errors of the sum from crossing a whole number.
        now = np.concatenate([previous[-1:], np.floor(due[:-1] + 0.25 / steps).astype(int)])
        parts.append(np.nonzero((now[1:] > now[:-1]) & (counts > 0))[1])
        previous = now
    return np.concatenate(parts)
