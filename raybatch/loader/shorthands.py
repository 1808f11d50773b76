"""Short forms of a loader's arguments: `seed`, `workers`, and values of `prefetch` and `split`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from raybatch.checks import int_between, positive_int
from raybatch.loader.ranks import RankSplit
from raybatch.notices import tell
from raybatch.order.shuffle import Shuffle
from raybatch.pools.inline import InlinePool
from raybatch.pools.pool import WorkerPool
from raybatch.scheduling.settings import Prefetch


def shuffle_with(shuffle: Shuffle, seed: int | np.integer[Any] | None) -> Shuffle:
    """Return the shuffle for the arguments `shuffle` and `seed`: with `shuffle=True`, the seed.

    ValueError for a seed with any other shuffle, or below 0; TypeError for a seed that is not an
    integer.
    """
    if seed is None:
        is_seed = isinstance(shuffle, int | np.integer) and not isinstance(shuffle, bool)
        if is_seed and shuffle == 0:
            tell(
                "shuffle=0 shuffles: the 0 is a seed. Write shuffle=False for the samples in"
                " order, and shuffle=True, seed=0 for this order"
            )
        return shuffle
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    if shuffle is None or shuffle is False:
        raise ValueError(
            f"seed={seed} has no effect without shuffle=True: add that, or leave out the seed"
        )
    if shuffle is not True:
        raise ValueError(
            f"seed={seed} goes with shuffle=True, not with shuffle={shuffle!r}: use one of the two"
        )
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    return operator.index(seed)


def pool_with(pool: WorkerPool | None, workers: int | None) -> WorkerPool:
    """Return `pool`, or a new pool of `workers` Ray actors.

    Without either, or with 0 workers, the pool works in line. ValueError if both are given.
    """
    if pool is not None:
        if workers is not None:
            raise ValueError(
                f"workers={workers} starts a pool, but pool={pool!r} is given too: use one of"
                " the two"
            )
        if not isinstance(pool, WorkerPool):
            raise TypeError(
                f"pool must be a pool such as rb.RayActorPool(8), not {pool!r}; workers=8 starts"
                " eight Ray actors"
            )
        return pool
    count = 0 if workers is None else int_between("workers", workers, 0)
    if count == 0:
        return InlinePool()
    from raybatch.pools.ray.actor_pool import (
        RayActorPool,
    )  # imports ray, which not every program needs

    return RayActorPool(count)


def prefetch_of(prefetch: Prefetch | int | None) -> Prefetch | None:
    """Return `prefetch`, which can also be a number of batches."""
    if prefetch is None or isinstance(prefetch, Prefetch):
        return prefetch
    return Prefetch(positive_int("prefetch", prefetch))


def split_of(split: RankSplit | tuple[int, int] | None) -> RankSplit:
    """Return `split`, which can also be a pair (rank, world_size); None means a single rank."""
    if split is None:
        return RankSplit(0, 1)
    if isinstance(split, RankSplit):
        return split
    if not isinstance(split, tuple) or len(split) != 2:
        raise TypeError(f"split must be a RankSplit or a tuple (rank, world_size), not {split!r}")
    return RankSplit(*split)
