"""Image files as arrays that are loaded on demand."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO, Any, TypeAlias

import pyarrow as pa

from raybatch.accessors.encoded import EncodedImages, ImageArrays, ImageObjects
from raybatch.accessors.paths import PathTable
from raybatch.accessors.redaction import redacted
from raybatch.accessors.storage import UrlFiles, check_urls, open_store
from raybatch.image import ImageReader, PixelLayout

Paths: TypeAlias = "Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray"


class ImageFiles(EncodedImages):
    """Encoded images in files of their own."""

    def _hold(self, paths: Paths, filesystem: Any) -> None:
        self._store = open_store(filesystem)
        is_own = isinstance(self._store, UrlFiles)
        self._paths = PathTable(paths, None if is_own else "")
        if is_own:
            check_urls(self._paths.array)

    @property
    def paths(self) -> pa.Array:
        """The paths, as an Arrow array."""
        return self._paths.array

    def __len__(self) -> int:
        return len(self._paths)

    def name_of(self, position: int) -> str:
        return redacted(self._paths[position])

    def signature(self, position: int) -> tuple[int, ...]:
        return self._store.signature(self._paths[position])

    def fingerprint(self) -> dict[str, Any]:
        return {**super().fingerprint(), "paths": self._paths.digest()}

    def _open(self, position: int) -> IO[bytes]:
        return self._store.open(self._paths[position])


class ImageFileAccessor(ImageFiles, ImageArrays):
    """Image files as an array: an int gives one image, a 1-D integer array the stack of them.

    `paths` are str or PathLike, or an Arrow array of strings. An image is an array `(H, W, C)`, `(H, W)` in
    modes of one channel; its dtype is that of `mode`, uint8 for "RGB". A stack has shape `(n, H, W, C)`.
    `layout` puts the channels first, or makes normalised floats of them. `size=(height, width)`; with None
    images stay as stored, and those of one stack must have one shape. `mode`, `fit`, `resample`, `decode` and the
    rest in `reading` are the settings of `raybatch.image.ImageReader`.

    A path may be a URL: file, s3, gs and hdfs are opened by `pyarrow.fs`, others such as https by fsspec, of the
    extra `remote`. Or all are paths in `filesystem`, one of `pyarrow.fs` or fsspec. A connection that is lost, a
    timeout and a busy server are tried again a few times. `io_threads` files of a batch are read at the same time,
    ahead of their decoding, which pays where a read waits for a server. The user, password and query of a URL appear
    in no message and in no ledger.

    Raises IndexError for an index out of range, TypeError or ValueError for one that is no int and no 1-D
    integer array, and `SampleReadError` for a file that cannot be read; when it is made, ImportError for URLs
    that need fsspec where that is absent, ValueError for those that nothing opens.
    """

    def __init__(
        self,
        paths: Paths,
        size: tuple[int, int] | None = None,
        *,
        layout: PixelLayout | None = None,
        filesystem: Any = None,
        io_threads: int = 1,
        **reading: Any,
    ) -> None:
        ImageArrays.__init__(self, ImageReader(size, **reading), layout, io_threads)
        self._hold(paths, filesystem)


class NonUniformImageFileAccessor(ImageFiles, ImageObjects):
    """Image files as Pillow images: an int gives one, a 1-D integer array a list of them.

    The images are loaded and their files closed. The arguments and errors are those of `ImageFileAccessor`;
    with `mode=None` images keep the mode that is stored.
    """

    def __init__(
        self,
        paths: Paths,
        size: tuple[int, int] | None = None,
        *,
        filesystem: Any = None,
        io_threads: int = 1,
        **reading: Any,
    ) -> None:
        ImageObjects.__init__(self, ImageReader(size, **reading), io_threads)
        self._hold(paths, filesystem)
