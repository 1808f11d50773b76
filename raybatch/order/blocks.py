"""All samples of a data set stored in blocks, shuffled so that each block is read only once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import integer
from raybatch.order.indices import (
    IndexArray,
    as_index_array,
    check_covers,
    check_index_range,
)
from raybatch.order.passes import InOrder, Passes
from raybatch.order.quality import ShuffleQuality, shuffle_quality
from raybatch.order.shuffle import SeededShuffle, ShuffleRNG
from raybatch.order.standard import PassSampler


class BlockShuffleSampler(PassSampler):
    """Draws each sample once per pass, from `window` blocks at a time.

    A block holds samples that are stored together, such as a row group of a Parquet file. A
    shuffled pass puts the blocks in a random order, takes `window` of them at a time, and shuffles
    their samples. So `window` blocks must fit in memory. A window of all blocks gives a full
    shuffle; in a smaller window, neighbours are more alike. `quality` measures this. For 1,000
    blocks of 100 samples:

        window                              1      2      4      16     64     256    1000
        follow a sample of their block      99 %   50 %   25 %   6.2 %  1.6 %  0.4 %  0.1 %
        spread (full shuffle: 100 %)        0.1 %  0.2 %  0.4 %  1.6 %  6.3 %  25 %   100 %

    If each block holds samples of only one class, use a large window.

    Args:
        block_lengths: The number of samples in each block, integers `(blocks,)`.
        window: The number of blocks to shuffle together.
        repeats: The number of passes, or -1 for no end.
        indices: The absolute indices of the samples to draw from, or None for all. An index that
            appears several times is still drawn once per pass.

    Raises:
        ValueError: If a length is negative or the window is below 1.
        IndexError: If an index lies in no block.
    """

    def __init__(
        self,
        block_lengths: npt.ArrayLike,
        window: int = 4,
        repeats: int = 1,
        indices: npt.ArrayLike | None = None,
    ) -> None:
        self.block_lengths = as_index_array(block_lengths, "block_lengths").astype(np.int64)
        self.window = integer("window", window)
        if (self.block_lengths < 0).any():
            raise ValueError(f"block lengths must be 0 or more, not {self.block_lengths.min()}")
        if self.window < 1:
            raise ValueError(f"window must be 1 or more blocks, not {window}")
        self.indices: IndexArray | None = None
        self._starts = _starts(self.block_lengths)
        if indices is not None:
            own = as_index_array(indices)
            check_index_range(own, int(self._starts[-1]))
            self.indices = np.unique(np.where(own < 0, own + self._starts[-1], own))
            self._starts = np.searchsorted(self.indices, self._starts)
        super().__init__(int(self._starts[-1]), repeats, "data set")

    def quality(self) -> ShuffleQuality:
        """Return how well a pass mixes the samples, compared with a full shuffle."""
        return shuffle_quality(np.diff(self._starts), self.window)

    def map_indices(self, indices: Any) -> Any:
        return indices if self.indices is None else self.indices[indices]

    def check_length(self, length: int) -> None:
        total = int(self.block_lengths.sum())
        check_covers(f"the blocks hold {total} samples", total, length)

    def cursor(self, shuffle_rng: ShuffleRNG | None) -> Passes:
        """Return the start of the passes.

        With a generator, a whole pass is drawn when its first index is needed.
        """
        population = self.length if self.indices is None else self.indices
        return _BlockPasses(population, self.repeats, shuffle_rng, self._starts, self.window)

    def without(self, indices: IndexArray) -> BlockShuffleSampler:
        own = np.arange(self.length) if self.indices is None else self.indices
        stays = own[~np.isin(own, indices)]
        return BlockShuffleSampler(self.block_lengths, self.window, self.repeats, stays)


def _starts(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the start of each run of `lengths`, and the end of the last run."""
    return np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])


class _BlockPasses(Passes):
    """Passes shuffled by blocks; block b is `population[starts[b] : starts[b + 1]]`."""

    def __init__(
        self,
        population: int | IndexArray,
        repeats: int,
        rng: ShuffleRNG | None,
        starts: npt.NDArray[np.int64],
        window: int,
    ) -> None:
        super().__init__(population, repeats, rng)
        self._starts, self._window = starts, window

    def _draw(self) -> None:
        order: Any
        if self._rng is None:
            self._drawn += 1
            order = InOrder(self._length)
        else:
            order = _BlockOrder(self._starts, self._window, self._rng, self._drawn)
            self._drawn += 1
            if not isinstance(self._rng, SeededShuffle):
                order = order[:]  # a generator cannot repeat its draws later
        if not isinstance(self._population, int):
            order = _Selected(self._population, order)
        self._order = order


class _BlockOrder:
    """The order of pass `number`. With a seed, each window is computed when it is needed."""

    def __init__(
        self, starts: npt.NDArray[np.int64], window: int, rng: ShuffleRNG, number: int
    ) -> None:
        self._rng, self._number, self._window = rng, number, window
        blocks = rng.permutation(len(starts) - 1)[:]
        # The starts of the drawn blocks: in the data set, and in the order.
        self._from = starts[:-1][blocks]
        self._to = _starts((starts[1:] - starts[:-1])[blocks])

    def __getitem__(self, places: slice) -> IndexArray:
        start, stop, _ = places.indices(int(self._to[-1]))
        parts = [np.arange(0)]
        while start < stop:
            # If several blocks begin at `start`, all but the last are empty.
            number = (int(np.searchsorted(self._to, start, side="right")) - 1) // self._window
            first = number * self._window
            bounds = self._to[first : first + self._window + 1]
            end = min(stop, int(bounds[-1]))
            shuffled = self._shuffled(number, int(bounds[-1] - bounds[0]))
            at = bounds[0] + shuffled[start - int(bounds[0]) : end - int(bounds[0])]
            block = np.searchsorted(bounds, at, side="right") - 1
            parts.append(self._from[first + block] + at - bounds[block])
            start = end
        return np.concatenate(parts)

    def _shuffled(self, number: int, length: int) -> Any:
        if not isinstance(self._rng, SeededShuffle):
            return self._rng.permutation(length)
        own = self._rng.child(number)
        own.skip_permutations(self._number)
        return own.permutation(length)


class _Selected:
    """The elements of `population` at the positions in `order`."""

    def __init__(self, population: IndexArray, order: Any) -> None:
        self._population, self._order = population, order

    def __getitem__(self, places: slice) -> IndexArray:
        chosen: IndexArray = self._population[self._order[places]]
        return chosen
