"""Array-likes that load what is asked for: index → sample, index array → the samples."""

from raybatch.accessors.cached import CachedAccessor
from raybatch.accessors.folder import find_images, image_folder
from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.image_list import ImageList
from raybatch.accessors.items import ItemAccessor
from raybatch.accessors.packed import PackedAccessor
from raybatch.accessors.packed_manifest import is_packed
from raybatch.accessors.parquet_images import ParquetImageAccessor
from raybatch.accessors.parquet_writer import to_parquet
from raybatch.accessors.patterns import image_glob
from raybatch.accessors.rows import row_executor

__all__ = [
    "CachedAccessor",
    "ImageFileAccessor",
    "ImageList",
    "ItemAccessor",
    "NonUniformImageFileAccessor",
    "PackedAccessor",
    "ParquetImageAccessor",
    "find_images",
    "image_folder",
    "image_glob",
    "is_packed",
    "row_executor",
    "to_parquet",
]
