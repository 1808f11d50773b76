"""Encoded images as arrays that are loaded on demand: of files, and of whatever else gives them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import PIL
import pyarrow as pa
from PIL import Image

from raybatch.accessors.reading import Opener, ReadAhead, map_rows, sample_positions
from raybatch.errors import ImageReadError, SampleReadError
from raybatch.image import ImageReader, PixelLayout
from raybatch.stages import stage
from raybatch.stores.location import Locations

Result = TypeVar("Result")


class EncodedImages:
    """Images by position, which `reader` decodes; a subclass says how many there are, and opens them."""

    def __init__(self, reader: ImageReader, io_threads: int = 1) -> None:
        self._reader = reader
        self._read_ahead = ReadAhead(io_threads)

    def __len__(self) -> int:
        raise NotImplementedError(f"abstract for type {type(self)}")

    def name_of(self, position: int) -> str:
        """Return where the image at `position` lies, for messages: its path."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def _open(self, position: int) -> IO[bytes]:
        """Return the encoded image at `position`, as a file."""
        raise NotImplementedError(f"abstract for type {type(self)}")

    def signature(self, position: int) -> tuple[int, ...]:
        """Return what is another when the stored image at `position` has changed, as `LocalFiles.signature`.

        () where that cannot be told cheaply, as of remote files; OSError if the file is not there.
        """
        return ()

    def fingerprint(self) -> dict[str, Any]:
        """Return what the images depend on, but for the stored bytes: settings, paths and Pillow's version."""
        return {
            "kind": type(self).__name__,
            "samples": len(self),
            "reader": dataclasses.asdict(self._reader),
            "pillow": PIL.__version__,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images, {self._reader})"

    def _read(self, position: int, opener: Opener | None = None) -> Image.Image:
        return self._read_with(self._reader.read, position, opener)

    def _read_with(
        self, read: Callable[[IO[bytes]], Result], position: int, opener: Opener | None = None
    ) -> Result:
        """Return what `read` makes of the file of an image; SampleReadError if it raises."""
        try:
            with stage("read"):
                opened = self._open(position) if opener is None else opener()
            with opened as file:
                return read(file)
        except ImageReadError as error:
            reason, kind, cause = error.reason, error.format, error.__cause__
        except Exception as error:
            reason, kind, cause = f"{type(error).__name__}: {error}", None, error
        try:
            raise SampleReadError(self.name_of(position), int(position), reason, kind) from cause
        finally:
            del cause  # its traceback holds this frame

    def _read_all(self, positions: list[int]) -> list[Image.Image]:
        return self._read_all_with(self._reader.read, positions)

    def _read_all_with(
        self, read: Callable[[IO[bytes]], Result], positions: list[int]
    ) -> list[Result]:
        def read_one(one: tuple[int, Opener]) -> Result:
            return self._read_with(read, *one)

        with self._read_ahead.openers(self._open, positions) as openers:
            return map_rows(read_one, list(zip(positions, openers, strict=True)))


class ImageArrays(EncodedImages):
    """Images as arrays of the layout `layout`: one `(H, W, C)`, and stacks of them `(n, H, W, C)`."""

    def __init__(
        self, reader: ImageReader, layout: PixelLayout | None, io_threads: int = 1
    ) -> None:
        if reader.mode is None:
            raise TypeError("mode must be one of Pillow's modes, or the images would not stack")
        super().__init__(reader, io_threads)
        layout = PixelLayout() if layout is None else layout
        self._layout = layout.bound(reader.dtype, reader.channels)

    def fingerprint(self) -> dict[str, Any]:
        return {**super().fingerprint(), "layout": dataclasses.asdict(self._layout.layout)}

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self._one(positions)
        if self._reader.size is None:
            return self._stack_as_stored(positions)
        stack = self._empty(len(positions), *self._reader.size)

        def read_row(one: tuple[int, int, Opener]) -> None:
            row, position, opener = one
            read = partial(self._reader.read_into, layout=self._layout, out=stack[row])
            self._read_with(read, position, opener)

        rows = positions.tolist()
        with self._read_ahead.openers(self._open, rows) as openers:
            map_rows(read_row, list(zip(range(len(rows)), rows, openers, strict=True)))
        return stack

    def _one(self, position: int) -> npt.NDArray[Any]:
        if self._reader.size is None:
            stack = self._stacked([self._read(position)])
        else:
            stack = self._empty(1, *self._reader.size)
            self._read_into(stack[0], position)
        image: npt.NDArray[Any] = stack[0]
        return image

    def _read_into(
        self, out: npt.NDArray[Any], position: int, opener: Opener | None = None
    ) -> None:
        read = partial(self._reader.read_into, layout=self._layout, out=out)
        self._read_with(read, position, opener)

    def _empty(self, count: int, height: int, width: int) -> npt.NDArray[Any]:
        return np.empty((count, *self._layout.shape(height, width)), self._layout.dtype)

    def _stacked(self, images: list[Image.Image]) -> npt.NDArray[Any]:
        stack = self._empty(len(images), images[0].height, images[0].width)
        for row, image in enumerate(images):
            self._layout.write(image, stack[row])
        return stack

    def _stack_as_stored(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        if len(positions) == 0:
            raise ValueError("an empty index array has no shape to return: give a size")
        images = self._read_all(positions.tolist())
        for position, image in zip(positions, images, strict=True):
            if image.size != images[0].size:
                first, other = self.name_of(int(positions[0])), self.name_of(int(position))
                raise ValueError(
                    "images of unequal size cannot be stacked: give a size. "
                    f"{first!r} is {images[0].height}x{images[0].width}, "
                    f"{other!r} is {image.height}x{image.width} (height x width)"
                )
        return self._stacked(images)


class ImageObjects(EncodedImages):
    """Images as Pillow images: an int gives one, a 1-D integer array a list of them."""

    def __getitem__(self, index: Any) -> Image.Image | list[Image.Image]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self._read(positions)
        return self._read_all(positions.tolist())


Paths: TypeAlias = "Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray"


class ImageFiles(EncodedImages):
    """Encoded images in files of their own."""

    def _hold(self, paths: Paths, filesystem: Any) -> None:
        self._files = Locations(paths, filesystem=filesystem)
        self._files.check_can_open()

    @property
    def paths(self) -> pa.Array:
        """The paths, as an Arrow array."""
        return self._files.array

    def __len__(self) -> int:
        return len(self._files)

    def name_of(self, position: int) -> str:
        return self._files.name_of(position)

    def signature(self, position: int) -> tuple[int, ...]:
        return self._files.signature(position)

    def fingerprint(self) -> dict[str, Any]:
        return {**super().fingerprint(), "paths": self._files.digest()}

    def _open(self, position: int) -> IO[bytes]:
        return self._files.open(position)


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
