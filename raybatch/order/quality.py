"""How well a shuffle by blocks mixes, compared with a full shuffle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import as_index_array
from raybatch.order.shuffle import SeededShuffle

# Seeds to average over: each order brings different blocks together in a window.
_ORDERS = range(16)


class ShuffleQuality(NamedTuple):
    """How well an order mixes samples that are stored in blocks.

    `same_block` is the share of samples that follow a sample of the same block, from 0 to 1; a full
    shuffle has `same_block_if_full`. `spread` is the mean distance between two samples of a block,
    relative to a full shuffle: 1.0 for a full shuffle, close to 0 for blocks one after the other.
    """

    same_block: float
    same_block_if_full: float
    spread: float


def shuffle_quality(block_lengths: npt.ArrayLike, window: int) -> ShuffleQuality:
    """Return the quality of a shuffle in windows of `window` blocks, averaged over some orders."""
    lengths = as_index_array(block_lengths, "block_lengths").astype(np.float64)
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
    """Return the expected number of neighbours in one block, and 3 times the sum of distances."""
    starts = np.arange(0, len(lengths), window)
    sizes = np.add.reduceat(lengths, starts)
    pairs = np.add.reduceat(lengths * (lengths - 1), starts)
    # In a shuffled run of n samples with p ordered pairs of one block, p / (n * (n - 1)) of the
    # pairs of places hold samples of one block. There are n - 1 pairs of neighbours, and two places
    # are (n + 1) / 3 apart on average.
    return (pairs / np.maximum(sizes, 1)).sum(), (pairs * (sizes + 1)).sum()
