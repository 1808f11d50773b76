"""Which samples, in which order: NumPy only, no data and no I/O."""

from raybatch.sampling.abstract import AbstractSampler
from raybatch.sampling.batch_size import check_batch_size, num_batches
from raybatch.sampling.permutation import KeyedPermutation, permutation
from raybatch.sampling.shuffle import (
    SeededShuffle,
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    member_shuffles,
)
from raybatch.sampling.standard import StandardSampler
from raybatch.sampling.subset import SubsetSampler
from raybatch.sampling.weighted import WeightedSampler, WeightedSubsetSampler

__all__ = [
    "AbstractSampler",
    "KeyedPermutation",
    "SeededShuffle",
    "Shuffle",
    "ShuffleRNG",
    "StandardSampler",
    "SubsetSampler",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "as_shuffle_rng",
    "check_batch_size",
    "member_shuffles",
    "num_batches",
    "permutation",
]
