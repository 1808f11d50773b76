"""BatchUp's `sampling`; its samplers are those of `raybatch.order`."""

from raybatch.order.aspect_ratio import AspectRatioBuckets, aspect_ratio_buckets
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.grouped import GroupedSampler
from raybatch.order.indices import num_batches
from raybatch.order.pk import PKSampler
from raybatch.order.sampler import AbstractSampler
from raybatch.order.shuffle import SeededShuffle
from raybatch.order.standard import StandardSampler, SubsetSampler
from raybatch.order.weighted import WeightedSampler, WeightedSubsetSampler

__all__ = [
    "AbstractSampler",
    "AspectRatioBuckets",
    "BlockShuffleSampler",
    "GroupedSampler",
    "PKSampler",
    "SeededShuffle",
    "StandardSampler",
    "SubsetSampler",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "aspect_ratio_buckets",
    "num_batches",
]
