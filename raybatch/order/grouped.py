"""All samples of a data set, in batches of one group each, such as images of one aspect ratio."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.order.cursor import Cursor, Run, Tally
from raybatch.order.groups import GroupsSampler
from raybatch.order.indices import IndexArray, as_index_array, check_index_range
from raybatch.order.passes import ArrayRun, InOrder
from raybatch.order.shuffle import SeededShuffle, ShuffleRNG, seeded_by
from raybatch.order.weighted import class_numbers

IntArray = npt.NDArray[np.int64]

# The number of groups whose permutations are cached. The permutation of a small group is a table.
_MOST_PERMUTATIONS = 256


class GroupedSampler(GroupsSampler):
    """Draws each sample once per pass, in batches of one group each.

    With a shuffle, the samples of a group come in a random order, and so do the batches. All ranks
    get the same group at the same time. The last batch of each group can be short; the loader's
    `last_batch` says what to do with it.

    Args:
        groups: The group of each sample, `(n,)`: integers or strings.
        batch_sizes: The batch size of each group, integers `(number of groups,)`, if groups are
            numbers from 0; None for equal sizes. The loader's `batch_size` is the largest of them,
            and the others keep their ratio: `batch_sizes=[64, 48, 16]` means 64, 48 and 16 with
            `Loader(source, 64)`, and 8, 6 and 2 with `Loader(source, 8)`.
        indices: The absolute indices of the samples to draw from, or None for all.

    Raises:
        TypeError: If `groups` are neither integers nor strings.
        ValueError: If a group is below 0 or a batch size is below 1.
        IndexError: If a group has no batch size, or an index is out of range.
    """

    def __init__(
        self,
        groups: npt.ArrayLike,
        batch_sizes: npt.ArrayLike | None = None,
        indices: npt.ArrayLike | None = None,
    ) -> None:
        numbers = class_numbers(groups) if batch_sizes is None else as_index_array(groups, "groups")
        sizes = np.ones(int(numbers.max(initial=-1)) + 1, np.int64)
        if batch_sizes is not None:
            sizes = as_index_array(batch_sizes, "batch_sizes").astype(np.int64)
            if (sizes < 1).any():
                raise ValueError(f"batch_sizes must be 1 or more, not {sizes.min()}")
            check_index_range(numbers, len(sizes))
            if (numbers < 0).any():
                raise ValueError(f"groups must be 0 or more, not {numbers.min()}")
        super().__init__(numbers, len(sizes), indices)
        self._shares = sizes // max(1, np.gcd.reduce(sizes))

    @property
    def has_batch_sizes(self) -> bool:
        """Whether some groups have smaller batches than others."""
        return bool((self._shares != self._shares[:1]).any())

    def num_indices_generated(self) -> int:
        return len(self._members)

    def num_batches(self, batch_size: int) -> int:
        return int(self.cursor(None).tally(batch_size).steps)

    def check_batch_size(self, batch_size: int) -> None:
        most = int(self._shares.max(initial=1))
        if batch_size % most:
            ratio = ":".join(map(str, np.unique(self._shares)))
            raise ValueError(
                f"the batch sizes of the groups have the ratio {ratio}, so batch_size, the "
                f"largest of them, must be a multiple of {most}, not {batch_size}"
            )

    def small_groups(self, batch_size: int) -> tuple[int, int]:
        """Return the number of groups smaller than a batch, and the number of all groups.

        Groups without samples are not counted.
        """
        lengths = np.diff(self._starts)
        is_small = (lengths > 0) & (lengths < _sizes(self._shares, batch_size))
        return int(is_small.sum()), int((lengths > 0).sum())

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> GroupedCursor:
        """Return the start of the order.

        With a generator, one seed is drawn for the whole order when the first batch is needed.
        """
        return GroupedCursor(self._members, self._starts, self._shares, shuffle_rng)

    def without(self, indices: IndexArray) -> GroupedSampler:
        shares = self._shares if self.has_batch_sizes else None
        return GroupedSampler(self.groups, shares, self._members_without(indices))


def _sizes(shares: IntArray, batch_size: int) -> IntArray:
    """Return the batch size of each group, at least 1, if the largest is `batch_size`."""
    return np.maximum(1, shares * batch_size // int(shares.max(initial=1)))


class GroupedRun(ArrayRun):
    """A batch of one group, of at most `full_length` samples."""

    def __init__(self, order: Any, start: int, stop: int, full_length: int) -> None:
        super().__init__([(order, start, stop)], start)
        self.full_length = full_length


def full_length(run: Run, size: int) -> int:
    """Return the length that `run` would have if it were not short.

    This is `size`, or less for a group with smaller batches.
    """
    return run.full_length if isinstance(run, GroupedRun) else size


class GroupedCursor(Cursor):
    """The batches of all groups.

    Group g has the samples `members[starts[g] : starts[g + 1]]`, and its batch size is proportional
    to `shares[g]`. The remaining samples of each group are cut into numbered batches, and a
    permutation orders all batches. If the batch size changes, the remaining samples are cut again.
    """

    def __init__(
        self, members: IndexArray, starts: IntArray, shares: IntArray, rng: ShuffleRNG | None
    ) -> None:
        self._members, self._starts, self._shares, self._rng = members, starts, shares, rng
        self._left: Any = None
        self._bounds = starts  # the start of each group in the remaining samples
        self._size: int | None = None
        self._next = 0
        self._counted, self._samples = 0, 0

    def step(self, size: int) -> GroupedRun | None:
        self._cut(size)
        if self._next == self._total:
            return None
        begins, ends, full = self._ranges(self._next, self._next + 1)
        self._next += 1
        return GroupedRun(self._left, int(begins[0]), int(ends[0]), int(full[0]))

    def skip(self, size: int, steps: int) -> None:
        if steps:
            self._cut(size)
            self._next = min(self._next + steps, self._total)

    def tally(self, size: int) -> Tally:
        self._cut(size)
        lengths = np.diff(self._bounds)
        if self._next == 0:
            full, rest = lengths // self._sizes, lengths % self._sizes
            short = rest > 0
            return Tally(
                int(full.sum()),
                tuple(zip(rest[short].tolist(), self._sizes[short].tolist(), strict=True)),
            )
        begins, ends, wanted = self._ranges(self._next, self._total)
        short = ends - begins < wanted
        pairs = zip((ends - begins)[short].tolist(), wanted[short].tolist(), strict=True)
        return Tally(int((~short).sum()), tuple(pairs))

    @property
    def position(self) -> int:  # type: ignore[override]
        """The number of samples passed, counted only when it is needed."""
        if self._counted < self._next:
            begins, ends, _ = self._ranges(self._counted, self._next)
            self._samples += int((ends - begins).sum())
            self._counted = self._next
        return self._samples

    def _ranges(self, start: int, stop: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return the starts, ends and full lengths of batches `start` to `stop` (exclusive)."""
        numbers = self._order[start:stop]
        groups = np.searchsorted(self._firsts, numbers, side="right") - 1
        sizes = self._sizes[groups]
        begins = self._bounds[groups] + (numbers - self._firsts[groups]) * sizes
        return begins, np.minimum(begins + sizes, self._bounds[groups + 1]), sizes

    def _cut(self, size: int) -> None:
        """Cut the remaining samples into batches of `size`, unless they already are."""
        if size == self._size:
            return
        sizes = _sizes(self._shares, size)
        if self._left is None:
            self._shuffle = None if self._rng is None else seeded_by(self._rng)
            self._left = _GroupOrders(self._members, self._starts, self._shuffle)
        else:
            self._take()
        counts = -(-np.diff(self._bounds) // sizes)
        self._size, self._sizes, self._next, self._counted = size, sizes, 0, 0
        self._firsts = np.concatenate([np.zeros(1, np.int64), counts.cumsum()])
        self._total = int(self._firsts[-1])
        self._order: Any = InOrder(self._total)
        if self._shuffle is not None:
            self._order = self._shuffle.permutation(self._total)

    def _take(self) -> None:
        """Remove the batches that have been passed from the remaining samples."""
        _ = self.position  # counts the passed samples before their batches are removed
        begins, ends, _ = self._ranges(self._next, self._total)
        by_place = np.argsort(begins)
        begins, ends = begins[by_place], ends[by_place]
        before = np.concatenate([np.zeros(1, np.int64), (ends - begins).cumsum()])
        self._bounds = before[np.searchsorted(begins, self._bounds)]
        self._left = _Remaining(self._left, begins, before)


class _GroupOrders:
    """The samples of all groups, group after group, each in its own order.

    A slice must lie within one group.
    """

    def __init__(
        self, members: IndexArray, starts: IntArray, shuffle: SeededShuffle | None
    ) -> None:
        self._members, self._starts = members, starts
        self._permutation: Any = None
        if shuffle is not None:
            lengths = np.diff(starts)
            self._permutation = lru_cache(_MOST_PERMUTATIONS)(
                lambda group: shuffle.child(group).permutation(int(lengths[group]))
            )

    def __getitem__(self, places: slice) -> IndexArray:
        if self._permutation is None:
            return self._members[places]
        group = int(np.searchsorted(self._starts, places.start, side="right")) - 1
        first = int(self._starts[group])
        within = self._permutation(group)[places.start - first : places.stop - first]
        members: IndexArray = self._members[first + within]
        return members


class _Remaining:
    """The remaining parts of `whole`: piece i begins at `begins[i]`.

    `before[i]` samples are in the pieces before it.
    """

    def __init__(self, whole: Any, begins: IntArray, before: IntArray) -> None:
        self._whole, self._begins, self._before = whole, begins, before

    def __getitem__(self, places: slice) -> IndexArray:
        start, parts = places.start, [np.arange(0)]
        piece = int(np.searchsorted(self._before, start, side="right")) - 1
        while start < places.stop:
            stop = min(places.stop, int(self._before[piece + 1]))
            at = int(self._begins[piece] - self._before[piece])
            parts.append(self._whole[at + start : at + stop])
            start, piece = stop, piece + 1
        return np.concatenate(parts)
