"""Image files as arrays that are loaded on demand."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import IO, Any, TypeAlias

import pyarrow as pa

from raybatch.accessors.encoded import EncodedImages, ImageArrays, ImageObjects
from raybatch.accessors.paths import PathTable
from raybatch.image import ImageReader, PixelLayout

Paths: TypeAlias = "Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray"


class _ImageFiles(EncodedImages):
    """Encoded images in files of their own."""

    _paths: PathTable

    @property
    def paths(self) -> pa.Array:
        """The paths, as an Arrow array."""
        return self._paths.array

    def __len__(self) -> int:
        return len(self._paths)

    def name_of(self, position: int) -> str:
        return self._paths[position]

    def _open(self, position: int) -> IO[bytes]:
        path = self._paths[position]
        # To open a pipe would wait for a writer, and to open a device may do anything.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError("not a regular file")
        return open(path, "rb")


class ImageFileAccessor(_ImageFiles, ImageArrays):
    """Image files as an array: an int gives one image, a 1-D integer array the stack of them.

    `paths` are str or PathLike, or an Arrow array of strings. An image is an array `(H, W, C)`, `(H, W)` in
    modes of one channel; its dtype is that of `mode`, uint8 for "RGB". A stack has shape `(n, H, W, C)`.
    `layout` puts the channels first, or makes normalised floats of them. `size=(height, width)`; with None
    images stay as stored, and those of one stack must have one shape. `mode`, `fit`, `resample`, `decode` and the
    rest in `reading` are the settings of `raybatch.image.ImageReader`.

    Raises IndexError for an index out of range, TypeError or ValueError for one that is no int and no 1-D
    integer array, and `SampleReadError` for a file that cannot be read.
    """

    def __init__(
        self,
        paths: Paths,
        size: tuple[int, int] | None = None,
        *,
        layout: PixelLayout | None = None,
        **reading: Any,
    ) -> None:
        ImageArrays.__init__(self, ImageReader(size, **reading), layout)
        self._paths = PathTable(paths)


class NonUniformImageFileAccessor(_ImageFiles, ImageObjects):
    """Image files as Pillow images: an int gives one, a 1-D integer array a list of them.

    The images are loaded and their files closed. The arguments and errors are those of `ImageFileAccessor`;
    with `mode=None` images keep the mode that is stored.
    """

    def __init__(self, paths: Paths, size: tuple[int, int] | None = None, **reading: Any) -> None:
        ImageObjects.__init__(self, ImageReader(size, **reading))
        self._paths = PathTable(paths)
