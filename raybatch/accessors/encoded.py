"""The base of accessors of encoded images, wherever these lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from raybatch.accessors.index import sample_positions
from raybatch.accessors.read_ahead import Opener, ReadAhead
from raybatch.accessors.rows import map_rows
from raybatch.errors import ImageReadError, SampleReadError
from raybatch.image import ImageReader, PixelLayout
from raybatch.stages import stage

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
            self._read_into(stack[row], position, opener)

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
        def read(file: IO[bytes]) -> None:
            self._reader.read_into(file, self._layout, out)

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
