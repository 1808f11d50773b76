"""Image files as arrays that are loaded on demand."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from raybatch.accessors.index import sample_positions
from raybatch.accessors.paths import PathTable
from raybatch.accessors.rows import map_rows
from raybatch.errors import SampleReadError
from raybatch.image import ImageReader

Paths: TypeAlias = "Iterable[str | os.PathLike[str]] | pa.Array | pa.ChunkedArray"


class _ImageFiles:
    """The paths and the reader that both accessors have."""

    def __init__(self, paths: Paths, reader: ImageReader) -> None:
        self._paths = PathTable(paths)
        self._reader = reader

    @property
    def paths(self) -> pa.Array:
        """The paths, as an Arrow array."""
        return self._paths.array

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} paths, {self._reader})"

    def _read(self, position: int) -> Image.Image:
        path = self._paths[position]
        try:
            return self._reader.read(path)
        except Exception as error:
            raise SampleReadError(
                path, int(position), f"{type(error).__name__}: {error}"
            ) from error


class ImageFileAccessor(_ImageFiles):
    """Image files as an array: an int gives one image, a 1-D integer array the stack of them.

    `paths` are str or PathLike, or an Arrow array of strings. An image is an array `(H, W, C)`, `(H, W)` in
    modes of one channel; its dtype is that of `mode`, uint8 for "RGB". A stack has shape `(n, H, W, C)`.
    `size=(height, width)`; with None images stay as stored, and those of one stack must have one shape.
    `mode`, `fit`, `resample` and `decode` are those of `ImageReader`.

    Raises IndexError for an index out of range, TypeError or ValueError for one that is no int and no 1-D
    integer array, and `SampleReadError` for a file that cannot be read.
    """

    def __init__(
        self,
        paths: Paths,
        size: tuple[int, int] | None = None,
        *,
        mode: str = "RGB",
        fit: str = "stretch",
        resample: str | int = "bilinear",
        decode: str = "exact",
    ) -> None:
        if mode is None:
            raise TypeError("mode must be one of Pillow's modes, or the images would not stack")
        super().__init__(paths, ImageReader(size, mode, fit, resample, decode))

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return np.array(self._read(positions))
        if self._reader.size is None:
            return self._stack_as_stored(positions)
        shape = (len(positions), *self._reader.size, *self._reader.channels)
        stack = np.empty(shape, self._reader.dtype)

        def read_row(row_and_position: tuple[int, int]) -> None:
            row, position = row_and_position
            stack[row] = self._read(position)

        map_rows(read_row, list(enumerate(positions.tolist())))
        return stack

    def _stack_as_stored(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        if len(positions) == 0:
            raise ValueError("an empty index array has no shape to return: give a size")
        images = map_rows(self._read, positions.tolist())
        for position, image in zip(positions, images, strict=True):
            if image.size != images[0].size:
                first, other = self._paths[positions[0]], self._paths[position]
                raise ValueError(
                    "images of unequal size cannot be stacked: give a size. "
                    f"{first!r} is {images[0].height}x{images[0].width}, "
                    f"{other!r} is {image.height}x{image.width} (height x width)"
                )
        height, width = images[0].height, images[0].width
        shape = (len(images), height, width, *self._reader.channels)
        stack = np.empty(shape, self._reader.dtype)
        for row, image in enumerate(images):
            stack[row] = image
        return stack


class NonUniformImageFileAccessor(_ImageFiles):
    """Image files as Pillow images: an int gives one, a 1-D integer array a list of them.

    The images are loaded and their files closed. The arguments and errors are those of `ImageFileAccessor`;
    with `mode=None` images keep the mode that is stored.
    """

    def __init__(
        self,
        paths: Paths,
        size: tuple[int, int] | None = None,
        *,
        mode: str | None = "RGB",
        fit: str = "stretch",
        resample: str | int = "bilinear",
        decode: str = "exact",
    ) -> None:
        super().__init__(paths, ImageReader(size, mode, fit, resample, decode))

    def __getitem__(self, index: Any) -> Image.Image | list[Image.Image]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self._read(positions)
        return map_rows(self._read, positions.tolist())
