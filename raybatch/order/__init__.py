"""Which samples, in which order: NumPy only, no data and no I/O."""

from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.cursor import Cursor, IteratorCursor, Run, overrides, runs
from raybatch.order.indices import amount, check_batch_size, num_batches
from raybatch.order.members import ChoiceCursor, CompositeCursor
from raybatch.order.permutation import KeyedPermutation, permutation
from raybatch.order.position import Position
from raybatch.order.quality import ShuffleQuality, shuffle_quality
from raybatch.order.rows import Place, Rows
from raybatch.order.sampler import AbstractSampler, order_of
from raybatch.order.seeds import NO_KEYS, RandomKeys, seed_of
from raybatch.order.shuffle import (
    SeededShuffle,
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    child_shuffles,
    draws_in_turn,
    is_drawn_here,
)
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.order.turns import Rounds, Stratified, Turns
from raybatch.order.weighted import WeightedSampler, WeightedSubsetSampler

__all__ = [
    "NO_KEYS",
    "AbstractSampler",
    "BlockShuffleSampler",
    "ChoiceCursor",
    "CompositeCursor",
    "Cursor",
    "IteratorCursor",
    "KeyedPermutation",
    "Place",
    "Position",
    "RandomKeys",
    "Rounds",
    "Rows",
    "Run",
    "SeededShuffle",
    "Shuffle",
    "ShuffleQuality",
    "ShuffleRNG",
    "StandardSampler",
    "Stratified",
    "SubsetSampler",
    "Turns",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "amount",
    "as_shuffle_rng",
    "check_batch_size",
    "child_shuffles",
    "draws_in_turn",
    "is_drawn_here",
    "num_batches",
    "order_of",
    "overrides",
    "permutation",
    "runs",
    "seed_of",
    "shuffle_quality",
]
