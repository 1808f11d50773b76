"""Batches of images for training, loaded by Ray actors and delivered in order.

    data = ImageFolder("train", size=224)
    with Loader(data, batch_size=64, shuffle=True, seed=7, workers=4) as loader:
        for images, labels in loader:
            ...

`__all__` lists what most programs need; the other names here are public too. `import raybatch`
imports neither ray nor any adapter's library; each is imported when it is first needed.
"""

import importlib
import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from raybatch import errors
from raybatch import image as image
from raybatch import packing as packing
from raybatch.accessors.cache import CachedAccessor
from raybatch.accessors.encoded import EncodedImageAccessor
from raybatch.accessors.image_files import ImageFileAccessor
from raybatch.accessors.image_files import (
    NonUniformImageFileAccessor as NonUniformImageFileAccessor,
)
from raybatch.accessors.image_sizes import ImageSizes as ImageSizes
from raybatch.accessors.items import ItemAccessor as ItemAccessor
from raybatch.accessors.mds_shards import MDSShards as MDSShards
from raybatch.accessors.packed import PackedAccessor
from raybatch.accessors.parquet import ParquetImageAccessor
from raybatch.accessors.parquet_writer import to_parquet as to_parquet
from raybatch.accessors.reading import SeededAccessor as SeededAccessor
from raybatch.accessors.shards import TarShards
from raybatch.accessors.shards import ZipShards as ZipShards
from raybatch.batchup import data_source as data_source
from raybatch.batchup import sampling as sampling
from raybatch.batchup import work_pool as work_pool
from raybatch.batchup.data_source import (
    ArrayDataSource,
    CompositeDataSource,
    ImageFolder,
    MixDataSource,
)
from raybatch.batchup.data_source import CallableDataSource as CallableDataSource
from raybatch.batchup.data_source import ChoiceDataSource as ChoiceDataSource
from raybatch.batchup.data_source import IteratorDataSource as IteratorDataSource
from raybatch.batchup.data_source import MapDataSource as MapDataSource
from raybatch.batchup.work_pool import ThreadPool
from raybatch.collation import Pad, Ragged
from raybatch.collation import Padded as Padded
from raybatch.image import augment
from raybatch.image.pixels import PixelLayout
from raybatch.loader.loader import Loader
from raybatch.loader.ranks import RankSplit
from raybatch.making.policy import BadSamples
from raybatch.order.aspect_ratio import AspectRatioBuckets as AspectRatioBuckets
from raybatch.order.aspect_ratio import aspect_ratio_buckets as aspect_ratio_buckets
from raybatch.order.blocks import BlockShuffleSampler
from raybatch.order.grouped import GroupedSampler
from raybatch.order.pk import PKSampler as PKSampler
from raybatch.order.standard import StandardSampler as StandardSampler
from raybatch.order.standard import SubsetSampler as SubsetSampler
from raybatch.order.weighted import WeightedSampler
from raybatch.order.weighted import WeightedSubsetSampler as WeightedSubsetSampler
from raybatch.packing.packer import pack
from raybatch.ragged import RaggedArray
from raybatch.scheduling.settings import Prefetch
from raybatch.scheduling.settings import Recovery as Recovery
from raybatch.sources.digest import stream_digest
from raybatch.sources.ledger import BadSampleLedger as BadSampleLedger
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.image_list import ImageList as ImageList
from raybatch.stores.listing import image_folder
from raybatch.stores.patterns import image_glob as image_glob

if TYPE_CHECKING:
    from raybatch import adapters
    from raybatch.batchup.ray_pools import RayActorPool

__version__ = "0.1.0"

# Programs written for BatchUp import these as modules of the package.
for _module in (data_source, sampling, work_pool):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

# The program decides whether log records are shown.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "ArrayDataSource",
    "BadSamples",
    "BlockShuffleSampler",
    "CachedAccessor",
    "CompositeDataSource",
    "DiskCache",
    "EncodedImageAccessor",
    "GroupedSampler",
    "ImageFileAccessor",
    "ImageFolder",
    "Loader",
    "MixDataSource",
    "PackedAccessor",
    "Pad",
    "ParquetImageAccessor",
    "PixelLayout",
    "Prefetch",
    "Ragged",
    "RaggedArray",
    "RankSplit",
    "RayActorPool",
    "TarShards",
    "ThreadPool",
    "WeightedSampler",
    "adapters",
    "augment",
    "errors",
    "image_folder",
    "pack",
    "stream_digest",
]

# `dir(raybatch)` leaves out what this file itself needs, and all modules except these public ones.
_OWN = {"Any", "ModuleType", "TYPE_CHECKING"}
_MODULES = {
    "adapters",
    "augment",
    "data_source",
    "errors",
    "image",
    "packing",
    "sampling",
    "work_pool",
}


def __getattr__(name: str) -> Any:
    if name == "RayActorPool":
        return work_pool.RayActorPool
    if name == "adapters":
        return importlib.import_module("raybatch.adapters")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    names = {name for name, held in globals().items() if not isinstance(held, ModuleType)}
    return sorted((names | {*__all__} | _MODULES) - _OWN)
