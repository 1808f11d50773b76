"""Array-likes that load what is asked for: index → sample, index array → the samples."""

from raybatch.accessors.arrays import gather, is_array_like, portable, sample_count
from raybatch.accessors.folder import find_images, image_folder
from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.rows import row_executor

__all__ = [
    "ImageFileAccessor",
    "NonUniformImageFileAccessor",
    "find_images",
    "gather",
    "image_folder",
    "is_array_like",
    "portable",
    "row_executor",
    "sample_count",
]
