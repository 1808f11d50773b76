"""Encoded images in a column of Parquet files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybatch.accessors.encoded import ImageArrays
from raybatch.accessors.parquet_files import ParquetFiles, ParquetPaths
from raybatch.accessors.read_ahead import Opener, ReadAhead
from raybatch.accessors.row_groups import RowGroupCache
from raybatch.accessors.storage import LocalFiles
from raybatch.image import ImageReader, PixelLayout


class ParquetImageAccessor(ImageArrays):
    """Encoded images in a column of Parquet files as an array: an int gives one, an index array the stack.

    `paths` is a file, a folder, whose files `*.parquet` are taken in the order of their names, or several of
    these. `column` holds the bytes of image files, binary or large_binary, or a struct with such a field `bytes`,
    as Hugging Face data sets have it: where the bytes are null, the file at the struct's `path` is read, which may
    be relative to the folder of the Parquet file. `size`, `layout`, `reading`, the shapes and the dtypes are those of
    `ImageFileAccessor`.

    Files are read by the row group, that column alone. The `cached_row_groups` that were used last stay in
    memory, in each process its own; a batch reads no group twice. A full shuffle reads about one group for each
    sample, so shuffle by blocks:

        images = ParquetImageAccessor("train/", size=(224, 224))
        sampler = BlockShuffleSampler(images.row_group_lengths, window=4)
        source = ArrayDataSource([images, images.column("label")], sampler=sampler)

    Raises what `ImageFileAccessor` raises; a null is a `SampleReadError` too. When it is made: OSError for a file
    that cannot be opened, FileNotFoundError for a folder without Parquet files, TypeError for a column of another
    type, ValueError for a file that is no Parquet file, lacks the column or has it in another type than the first.
    """

    def __init__(
        self,
        paths: ParquetPaths,
        column: str = "image",
        size: tuple[int, int] | None = None,
        *,
        layout: PixelLayout | None = None,
        cached_row_groups: int = 4,
        **reading: Any,
    ) -> None:
        super().__init__(ImageReader(size, **reading), layout)
        self._files = ParquetFiles(paths, column)
        leaf, self._name_leaf = _leaves(self._files)
        self._groups = RowGroupCache(partial(self._files.read_group, leaf=leaf), cached_row_groups)
        self._read_ahead = _ByRowGroup(self._files, self._groups)

    @property
    def row_group_lengths(self) -> npt.NDArray[np.int64]:
        """The number of rows in each row group, int64 `(groups,)`: the blocks of a `BlockShuffleSampler`."""
        return np.diff(self._files.starts)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return all of another column, such as the labels: shape `(len(self),)`, in memory.

        The dtype is that of the numbers, datetimes or strings in it. ValueError if a file lacks it or has it in
        another type, or if a value is null; TypeError for lists, structs and bytes.
        """
        return self._files.read_column(name)

    def __len__(self) -> int:
        return len(self._files)

    def name_of(self, position: int) -> str:
        """Return where the image lies, `file.parquet[row]`, and the path that is stored with it, if any."""
        place = self._files.place_of(position)
        # Why an image cannot be read must not be hidden by a path that cannot.
        with suppress(Exception):
            path = self._stored_path(position)
            return place if path is None else f"{place} ({path})"
        return place

    def _stored_path(self, position: int) -> str | None:
        """Return the path that is stored with an image; those of its group are read for that."""
        if self._name_leaf is None:
            return None
        group = int(self._files.group_of(position))
        paths = self._files.read_group(group, self._name_leaf)
        path: str | None = paths[position - int(self._files.starts[group])].as_py()
        return path

    def signature(self, position: int) -> tuple[int, ...]:
        """Return that of the Parquet file; an image file that a row names by its path is not asked."""
        return self._files.signature(position)

    def fingerprint(self) -> dict[str, Any]:
        files = self._files
        return {**super().fingerprint(), "paths": files.files.digest(), "column": files.column}

    def _open(self, position: int) -> IO[bytes]:
        group = int(self._files.group_of(position))
        row = position - int(self._files.starts[group])
        file = _file(self._groups[group], row)
        if file is not None:
            return file
        path = self._stored_path(position)
        if path is None:
            raise OSError("the image is null")
        try:
            return LocalFiles().open(os.path.join(self._files.folder_of(position), path))
        except OSError as error:
            raise OSError(f"the image is null, and its path leads to none: {error}") from error


class _ByRowGroup(ReadAhead):
    """Takes the images of a batch out of one row group after the other."""

    def __init__(self, files: ParquetFiles, groups: RowGroupCache) -> None:
        super().__init__(io_threads=1)
        self._files, self._groups = files, groups

    @contextmanager
    def openers(
        self, opened: Callable[[int], IO[bytes]], positions: Collection[int]
    ) -> Iterator[list[Opener]]:
        openers: list[Opener] = [partial(opened, position) for position in positions]
        rows = np.fromiter(positions, np.int64, len(positions))
        groups = self._files.group_of(rows)
        for group in np.unique(groups).tolist():
            # What cannot be read now is an error when its image's turn comes, and it is opened again.
            with suppress(Exception):
                values = self._groups[group]
                for row in np.flatnonzero(groups == group).tolist():
                    file = _file(values, int(rows[row] - self._files.starts[group]))
                    if file is not None:
                        openers[row] = partial(_itself, file)
        yield openers


def _itself(file: IO[bytes]) -> IO[bytes]:
    return file


def _file(values: pa.ChunkedArray, row: int) -> IO[bytes] | None:
    """Return the image in `values[row]`, None if that is null."""
    value = values[row]
    return io.BytesIO(value.as_buffer()) if value.is_valid else None


def _leaves(files: ParquetFiles) -> tuple[str, str | None]:
    """Return the names of the bytes and of the paths of the images, None where there are none."""
    kind, column = files.type, files.column
    if _is_bytes(kind):
        return column, None
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if "bytes" not in fields or not _is_bytes(fields["bytes"]):
        raise TypeError(
            f"column {column!r} of {files.files[0]!r} is {kind}, not binary, large_binary or a struct with such "
            "a field `bytes`"
        )
    return f"{column}.bytes", f"{column}.path" if "path" in fields else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
