"""Accessors: array-likes that load samples on demand, by an int or an index array."""

from raybatch.accessors.cache import CachedAccessor
from raybatch.accessors.encoded import EncodedImageAccessor
from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.image_sizes import ImageSizes
from raybatch.accessors.items import ItemAccessor
from raybatch.accessors.manifest import is_packed
from raybatch.accessors.mds_shards import MDSShards
from raybatch.accessors.packed import PackedAccessor
from raybatch.accessors.parquet import ParquetImageAccessor
from raybatch.accessors.parquet_writer import to_parquet
from raybatch.accessors.reading import SeededAccessor, row_executor
from raybatch.accessors.shards import TarShards, ZipShards
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import find_images, image_folder
from raybatch.stores.patterns import image_glob

__all__ = [
    "CachedAccessor",
    "DiskCache",
    "EncodedImageAccessor",
    "ImageFileAccessor",
    "ImageList",
    "ImageSizes",
    "ItemAccessor",
    "MDSShards",
    "NonUniformImageFileAccessor",
    "PackedAccessor",
    "ParquetImageAccessor",
    "SeededAccessor",
    "TarShards",
    "ZipShards",
    "find_images",
    "image_folder",
    "image_glob",
    "is_packed",
    "row_executor",
    "to_parquet",
]
