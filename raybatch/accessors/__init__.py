"""Array-likes that load what is asked for: index → sample, index array → the samples."""

from raybatch.accessors.cache import CachedAccessor
from raybatch.accessors.images import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.items import ItemAccessor
from raybatch.accessors.packed import PackedAccessor, is_packed
from raybatch.accessors.parquet import ParquetImageAccessor
from raybatch.accessors.parquet_writer import to_parquet
from raybatch.accessors.reading import SeededAccessor, row_executor
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import find_images, image_folder
from raybatch.stores.patterns import image_glob

__all__ = [
    "CachedAccessor",
    "ImageFileAccessor",
    "ImageList",
    "ItemAccessor",
    "NonUniformImageFileAccessor",
    "PackedAccessor",
    "ParquetImageAccessor",
    "SeededAccessor",
    "find_images",
    "image_folder",
    "image_glob",
    "is_packed",
    "row_executor",
    "to_parquet",
]
