"""Image files, here or at URLs, as arrays or Pillow images."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import pyarrow as pa

from raybatch.accessors.images import EncodedImages, ImageArrays, ImageObjects
from raybatch.accessors.reading import ReadAhead
from raybatch.accessors.sample_sizes import Readers, Size, readers_of
from raybatch.image import PixelLayout
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.location import Locations

Paths: TypeAlias = "Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray"


class ImageFiles(EncodedImages):
    """Encoded images in files of their own."""

    def __init__(
        self,
        reader: Readers,
        paths: Paths,
        filesystem: Any,
        io_threads: int,
        cache: DiskCache | None = None,
        **more: Any,
    ) -> None:
        self._files = Locations(paths, filesystem=filesystem, cache=cache)
        self._files.check_can_open()
        ahead = ReadAhead(self._files, io_threads)
        super().__init__(reader, self._files, ahead.openers, **more)

    @property
    def paths(self) -> pa.Array:
        """The paths, as an Arrow array."""
        return self._files.array


class ImageFileAccessor(ImageFiles, ImageArrays):
    """Image files as an array: an int gives one image, a 1-D integer array the stack of them.

    `paths` are str or PathLike, or an Arrow array of strings. An image is an array `(H, W, C)`, `(H, W)` in
    modes of one channel; its dtype is that of `mode`, uint8 for "RGB". A stack has shape `(n, H, W, C)`.
    `layout` puts the channels first, or makes normalised floats of them. `size=(height, width)`, or an array `(n, 2)` with
    those of each image, for batches of one group each (`GroupedSampler`); with None
    images stay as stored, and those of one stack must have one shape. `mode`, `fit`, `resample`, `decode` and the
    rest in `reading` are the settings of `raybatch.image.ImageReader`.

    `transform` is among them: a random crop, flip or change of colour of `raybatch.image.augment`, or a function of your own.
    Of images that are `(224, 224, 3)` after it, the stack is `(n, 224, 224, 3)`. Its random numbers are those of
    (seed, epoch, sample), as in `map_samples`; outside of a source those of epoch 0 of seed 0.

        change = augment.Compose([augment.RandomResizedCrop(224), augment.RandomHorizontalFlip()])
        layout = PixelLayout(channels_first=True, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        images = ImageFileAccessor(paths, transform=change, layout=layout)

    A path may be a URL: file, s3, gs and hdfs are opened by `pyarrow.fs`, others such as https by fsspec, of the
    extra `remote`. Or all are paths in `filesystem`, one of `pyarrow.fs` or fsspec. A connection that is lost, a
    timeout, a busy server, and EIO or ESTALE on a mounted file system are tried again a few times. `io_threads` files of a batch are read at the same time,
    ahead of their decoding, which pays where a read waits for a server. A `cache`, a `DiskCache`, keeps the bytes of remote files on
    the disk of each host. The user, password and query of a URL appear
    in no message and in no ledger.

    Raises IndexError for an index out of range, TypeError or ValueError for one that is no int and no 1-D
    integer array, and `SampleReadError` for a file that cannot be read; when it is made, ImportError for URLs
    that need fsspec where that is absent, ValueError for those that nothing opens, and for a `transform` whose images
    have no known size.
    """

    def __init__(
        self,
        paths: Paths,
        size: Size = None,
        *,
        layout: PixelLayout | None = None,
        filesystem: Any = None,
        io_threads: int = 1,
        cache: DiskCache | None = None,
        **reading: Any,
    ) -> None:
        reader = readers_of(size, **reading)
        super().__init__(reader, paths, filesystem, io_threads, cache, layout=layout)


class NonUniformImageFileAccessor(ImageFiles, ImageObjects):
    """Image files as Pillow images: an int gives one, a 1-D integer array a list of them.

    The images are loaded and their files closed. The arguments and errors are those of `ImageFileAccessor`;
    with `mode=None` images keep the mode that is stored.
    """

    def __init__(
        self,
        paths: Paths,
        size: Size = None,
        *,
        filesystem: Any = None,
        io_threads: int = 1,
        cache: DiskCache | None = None,
        **reading: Any,
    ) -> None:
        super().__init__(readers_of(size, **reading), paths, filesystem, io_threads, cache)
