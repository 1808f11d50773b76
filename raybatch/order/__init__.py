"""The order of the samples: samplers, shuffles and positions.

NumPy only; nothing here reads data.
"""

from raybatch.order.aspect_ratio import AspectRatioBuckets, aspect_ratio_buckets
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.cursor import Cursor, IteratorCursor, Run, Tally, overrides, runs
from raybatch.order.grouped import GroupedCursor, GroupedSampler, full_length
from raybatch.order.groups import GroupsSampler
from raybatch.order.indices import amount, check_batch_size, num_batches
from raybatch.order.members import ChoiceCursor, CompositeCursor
from raybatch.order.mixture import MemberCursor, MixtureCursor
from raybatch.order.permutation import KeyedPermutation, permutation
from raybatch.order.pk import PKSampler
from raybatch.order.position import Ahead, Position
from raybatch.order.quality import ShuffleQuality, shuffle_quality
from raybatch.order.rows import Place, Rows
from raybatch.order.sampler import AbstractSampler, order_of
from raybatch.order.seeds import NO_KEYS, RandomKeys, seed_of
from raybatch.order.shares import MemberShares
from raybatch.order.shuffle import (
    SeededShuffle,
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    child_shuffles,
    draws_in_turn,
    is_drawn_here,
    seeded_by,
)
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.order.turns import Rounds, Stratified, Turns
from raybatch.order.weighted import WeightedSampler, WeightedSubsetSampler

__all__ = [
    "NO_KEYS",
    "AbstractSampler",
    "Ahead",
    "AspectRatioBuckets",
    "BlockShuffleSampler",
    "ChoiceCursor",
    "CompositeCursor",
    "Cursor",
    "GroupedCursor",
    "GroupedSampler",
    "GroupsSampler",
    "IteratorCursor",
    "KeyedPermutation",
    "MemberCursor",
    "MemberShares",
    "MixtureCursor",
    "PKSampler",
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
    "Tally",
    "Turns",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "amount",
    "as_shuffle_rng",
    "aspect_ratio_buckets",
    "check_batch_size",
    "child_shuffles",
    "draws_in_turn",
    "full_length",
    "is_drawn_here",
    "num_batches",
    "order_of",
    "overrides",
    "permutation",
    "runs",
    "seed_of",
    "seeded_by",
    "shuffle_quality",
]
