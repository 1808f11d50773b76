"""Which samples, in which order: NumPy only, no data and no I/O."""

from raybatch.order.batch_size import check_batch_size, num_batches
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.cursor import Cursor, IteratorCursor, Run, overrides
from raybatch.order.permutation import KeyedPermutation, permutation
from raybatch.order.sampler import AbstractSampler, order_of
from raybatch.order.seeds import NO_KEYS, RandomKeys, member_position, seed_of
from raybatch.order.shuffle import (
    SeededShuffle,
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    draws_in_turn,
    member_shuffles,
)
from raybatch.order.standard import StandardSampler
from raybatch.order.subset import SubsetSampler
from raybatch.order.weighted import WeightedSampler, WeightedSubsetSampler

__all__ = [
    "NO_KEYS",
    "AbstractSampler",
    "BlockShuffleSampler",
    "Cursor",
    "IteratorCursor",
    "KeyedPermutation",
    "RandomKeys",
    "Run",
    "SeededShuffle",
    "Shuffle",
    "ShuffleRNG",
    "StandardSampler",
    "SubsetSampler",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "as_shuffle_rng",
    "check_batch_size",
    "draws_in_turn",
    "member_position",
    "member_shuffles",
    "num_batches",
    "order_of",
    "overrides",
    "permutation",
    "seed_of",
]
