"""How good a shuffle by blocks is, beside one of all samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import as_index_array
from raybatch.order.shuffle import SeededShuffle

# Unlike blocks come together in other windows in each order.
_ORDERS = range(16)


class ShuffleQuality(NamedTuple):
    """How an order mixes samples that are stored in blocks.

    `same_block` is the share of samples that follow one of their own block, from 0 to 1; in a full shuffle it is
    `same_block_if_full`. `spread` says how far apart the samples of a block come, on average over all pairs of them, as a share of
    how far a full shuffle brings them: 1.0 for a full shuffle, next to 0 for blocks one after the other.
    """

    same_block: float
    same_block_if_full: float
    spread: float


def shuffle_quality(block_lengths: npt.ArrayLike, window: int) -> ShuffleQuality:
    """Return what `BlockShuffleSampler(block_lengths, window)` does on average over some orders of its blocks."""
    lengths = as_index_array(block_lengths).astype(np.float64)
    total, pairs = lengths.sum(), (lengths * (lengths - 1)).sum()
    if pairs == 0:
        return ShuffleQuality(0.0, 0.0, 1.0)  # no block has two samples
    drawn = [
        _of_order(lengths[SeededShuffle(n).permutation(len(lengths))[:]], window) for n in _ORDERS
    ]
    neighbours, apart = np.mean(drawn, axis=0)
    of_all = pairs / total / (total - 1)
    return ShuffleQuality(
        float(neighbours / (total - 1)), float(of_all), float(apart / (pairs * (total + 1)))
    )


def _of_order(lengths: npt.NDArray[np.float64], window: int) -> tuple[float, float]:
    """Return how many neighbours are of one block, and how far apart the pairs of all blocks are in all, in thirds."""
    starts = np.arange(0, len(lengths), window)
    sizes = np.add.reduceat(lengths, starts)
    pairs = np.add.reduceat(lengths * (lengths - 1), starts)
    # Of pairs of places in a shuffled run of n, p / (n * (n - 1)) have samples of one block, and n - 1 pairs are neighbours; two
    # places are (n + 1) / 3 apart on average.
    return (pairs / np.maximum(sizes, 1)).sum(), (pairs * (sizes + 1)).sum()
