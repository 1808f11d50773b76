"""The sizes of image files, of which only the headers are read."""

from __future__ import annotations

from typing import IO, Any

import numpy as np

from raybatch.accessors.images import ImageFiles, Paths
from raybatch.accessors.reading import sample_positions
from raybatch.image import ImageReader


class ImageSizes(ImageFiles):
    """The (height, width) of image files, int64: an int gives those of one, shape `(2,)`, an index array `(n, 2)`.

    The arguments and errors are those of `ImageFileAccessor`; with `exif_orientation` the sizes are those of the image turned. Only the
    header of a file is read. For the buckets of `aspect_ratio_buckets`:

        heights, widths = rb.ImageSizes(paths)[np.arange(len(paths))].T
    """

    def __init__(
        self, paths: Paths, *, filesystem: Any = None, io_threads: int = 1, **reading: Any
    ) -> None:
        super().__init__(ImageReader(mode=None, **reading), paths, filesystem, io_threads)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        rows = [positions] if isinstance(positions, int) else positions.tolist()
        sizes = np.array(self._read(rows, [self._size_of] * len(rows)), np.int64).reshape(-1, 2)
        return sizes[0] if isinstance(positions, int) else sizes

    def _size_of(self, file: IO[bytes]) -> tuple[int, int]:
        return self._reader.size_of(file)
