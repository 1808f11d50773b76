"""The sizes of image files, read from their headers alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from raybatch.accessors.image_files import ImageFiles, Paths
from raybatch.accessors.reading import sample_positions
from raybatch.image.reader import ImageReader, stored_size


class ImageSizes(ImageFiles):
    """The (height, width) of image files, int64: `(2,)` for an int, `(n, 2)` for an index array.

    Only the header of a file is read. With `exif_orientation` the sizes are those of the upright
    image. The arguments and errors are those of `ImageFileAccessor`, except `layout`, `mode` and
    `cache`.

        heights, widths = rb.ImageSizes(paths)[np.arange(len(paths))].T
    """

    def __init__(
        self, paths: Paths, *, filesystem: Any = None, io_threads: int = 1, **reading: Any
    ) -> None:
        super().__init__(ImageReader(mode=None, **reading), paths, filesystem, io_threads)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        rows = [positions] if isinstance(positions, int) else positions.tolist()
        read = partial(stored_size, self._reader)
        sizes = np.array(self._read(rows, [read] * len(rows)), np.int64).reshape(-1, 2)
        return sizes[0] if isinstance(positions, int) else sizes
