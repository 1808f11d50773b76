"""Array-likes that load what is asked for: index → sample, index array → the samples."""

from raybatch.accessors.folder import find_images, image_folder
from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.rows import row_executor

__all__ = [
    "ImageFileAccessor",
    "NonUniformImageFileAccessor",
    "find_images",
    "image_folder",
    "row_executor",
]
