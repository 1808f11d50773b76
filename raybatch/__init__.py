"""Batches of images for training, loaded by Ray actors and delivered in order.

    images = ImageFileAccessor(paths, size=(224, 224))
    source = ArrayDataSource([images, labels])
    with Loader(source, batch_size=64, shuffle=12345, pool=RayActorPool(4)) as loader:
        for x, y in loader:
            ...

Importing this package does not import ray; the first use of one of its Ray pools does.
"""

import logging
import sys
from typing import TYPE_CHECKING, Any

from raybatch import errors, image, packing
from raybatch.accessors import (
    CachedAccessor,
    DiskCache,
    EncodedImageAccessor,
    ImageFileAccessor,
    ImageList,
    ImageSizes,
    ItemAccessor,
    MDSShards,
    NonUniformImageFileAccessor,
    PackedAccessor,
    ParquetImageAccessor,
    SeededAccessor,
    TarShards,
    ZipShards,
    image_folder,
    image_glob,
    to_parquet,
)
from raybatch.batchup import data_source, sampling, work_pool
from raybatch.batchup.data_source import (
    ArrayDataSource,
    CallableDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    IteratorDataSource,
    MapDataSource,
    MixDataSource,
)
from raybatch.batchup.work_pool import ThreadPool
from raybatch.collation import Pad, Padded, Ragged
from raybatch.image import PixelLayout
from raybatch.loader import Loader, RankSplit
from raybatch.making import BadSamples
from raybatch.order import (
    AspectRatioBuckets,
    BlockShuffleSampler,
    GroupedSampler,
    PKSampler,
    StandardSampler,
    SubsetSampler,
    WeightedSampler,
    WeightedSubsetSampler,
    aspect_ratio_buckets,
)
from raybatch.packing import pack
from raybatch.ragged import RaggedArray
from raybatch.scheduling import Prefetch, Recovery
from raybatch.sources import BadSampleLedger, stream_digest

if TYPE_CHECKING:
    from raybatch.batchup.ray_pools import RayActorPool

__version__ = "0.1.0"

# A program of BatchUp's imports them as modules of the package.
for _module in (data_source, sampling, work_pool):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

# What is logged is the program's to show.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "ArrayDataSource",
    "AspectRatioBuckets",
    "BadSampleLedger",
    "BadSamples",
    "BlockShuffleSampler",
    "CachedAccessor",
    "CallableDataSource",
    "ChoiceDataSource",
    "CompositeDataSource",
    "DiskCache",
    "EncodedImageAccessor",
    "GroupedSampler",
    "ImageFileAccessor",
    "ImageList",
    "ImageSizes",
    "ItemAccessor",
    "IteratorDataSource",
    "Loader",
    "MDSShards",
    "MapDataSource",
    "MixDataSource",
    "NonUniformImageFileAccessor",
    "PKSampler",
    "PackedAccessor",
    "Pad",
    "Padded",
    "ParquetImageAccessor",
    "PixelLayout",
    "Prefetch",
    "Ragged",
    "RaggedArray",
    "RankSplit",
    "RayActorPool",
    "Recovery",
    "SeededAccessor",
    "StandardSampler",
    "SubsetSampler",
    "TarShards",
    "ThreadPool",
    "WeightedSampler",
    "WeightedSubsetSampler",
    "ZipShards",
    "aspect_ratio_buckets",
    "data_source",
    "errors",
    "image",
    "image_folder",
    "image_glob",
    "pack",
    "packing",
    "sampling",
    "stream_digest",
    "to_parquet",
    "work_pool",
]


def __getattr__(name: str) -> Any:
    if name == "RayActorPool":
        return work_pool.RayActorPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
