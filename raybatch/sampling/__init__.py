"""Which samples, in which order: NumPy only, no data and no I/O."""

from raybatch.sampling.abstract import AbstractSampler, order_of
from raybatch.sampling.batch_size import check_batch_size, num_batches
from raybatch.sampling.blocks import BlockShuffleSampler
from raybatch.sampling.cursor import Cursor, IteratorCursor, Run, overrides
from raybatch.sampling.permutation import KeyedPermutation, permutation
from raybatch.sampling.seeds import NO_KEYS, RandomKeys, member_position, seed_of
from raybatch.sampling.shuffle import (
    SeededShuffle,
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    draws_in_turn,
    member_shuffles,
)
from raybatch.sampling.standard import StandardSampler
from raybatch.sampling.subset import SubsetSampler
from raybatch.sampling.weighted import WeightedSampler, WeightedSubsetSampler

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
