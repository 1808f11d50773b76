"""Image files, local or at URLs, as arrays or Pillow images."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import pyarrow as pa

from raybatch.accessors.images import EncodedImages, ImageArrays, ImageObjects
from raybatch.accessors.reading import ReadAhead
from raybatch.accessors.sample_sizes import Readers, Size, readers_of
from raybatch.image.pixels import PixelLayout
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.location import Locations

Paths: TypeAlias = "Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray"


class ImageFiles(EncodedImages):
    """Encoded images, each in a file of its own."""

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

    An image is an array `(H, W, C)`, or `(H, W)` in modes of one channel. `mode` determines its
    dtype: uint8 for "RGB". A stack has shape `(n, H, W, C)`.

        change = augment.Compose([augment.RandomResizedCrop(224), augment.RandomHorizontalFlip()])
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        layout = PixelLayout(channels_first=True, mean=mean, std=std)
        images = ImageFileAccessor(paths, transform=change, layout=layout)

    Failed reads are retried a few times: after a lost connection, a timeout or a busy server, and
    after EIO or ESTALE on a mounted file system. Messages and ledgers never show the user, password
    or query of a URL.

    Args:
        paths: str or PathLike, or an Arrow array of strings. A path can be a URL: `pyarrow.fs`
            opens s3, gs and hdfs; fsspec (the extra `remote`) opens others, such as https.
        size: (height, width), or an array `(n, 2)` with the size of each image, for a
            `GroupedSampler` whose groups each have one size. With None, images keep their stored
            size, and all images of a stack must have the same size.
        layout: A `PixelLayout`, which puts the channels first or normalises to floats.
        filesystem: A file system of `pyarrow.fs` or fsspec; all `paths` are then paths in it.
        io_threads: How many files of a batch are read at the same time, ahead of their decoding.
            More than one helps if reads wait for a server.
        cache: A `DiskCache`, which keeps the bytes of remote files on the disk of each host.
        reading: The settings of `raybatch.image.ImageReader`: `mode`, `fit`, `resample`, `decode`,
            `transform` and others. `transform` is a random crop, flip or change of colour of
            `raybatch.image.augment`, or your own function. If it returns images `(224, 224, 3)`, a
            stack is `(n, 224, 224, 3)`. Its random numbers depend on (seed, epoch, sample), as in
            `map_samples`; outside of a source, seed and epoch are 0.

    Indexing raises IndexError for an index out of range, TypeError or ValueError for one that is
    neither an int nor a 1-D integer array, and `SampleReadError` for a file that cannot be read.
    The constructor raises ImportError for URLs that need fsspec if it is not installed, and
    ValueError for URLs of unknown schemes and for a `transform` whose images have no known size.
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

    The images are loaded and their files closed.

    Args:
        paths: As for `ImageFileAccessor`; so are `size`, `filesystem`, `io_threads` and `cache`.
        reading: As for `ImageFileAccessor`. With `mode=None`, images keep their stored mode.

    The errors are those of `ImageFileAccessor`.
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
