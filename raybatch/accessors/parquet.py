"""Encoded images in columns of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybatch.accessors.encoded import BYTES, Cells, EncodedImageAccessor
from raybatch.accessors.kept import Kept
from raybatch.accessors.parquet_files import ParquetFiles, ParquetPaths
from raybatch.accessors.reading import Opener
from raybatch.accessors.sample_sizes import Size
from raybatch.checks import positive_int
from raybatch.image.pixels import PixelLayout
from raybatch.notices import tell
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.location import Location
from raybatch.stores.url_files import is_url

# An epoch reads some row groups again at its end, so a few repeats are normal.
_MOST_AGAIN = 32


class ParquetCells(Cells):
    """The encoded images in the cells of `files`: a byte store whose blocks are row groups.

    The most recently used row groups stay in memory, up to `cache_bytes`.
    """

    def __init__(self, files: ParquetFiles, cache_bytes: int) -> None:
        self._files = files
        self._leaf, self._path_leaf = _leaves(files)
        size = positive_int("cache_bytes", cache_bytes)
        self._groups = Kept(files.read_group, pa.ChunkedArray.get_total_buffer_size, size)

    def __len__(self) -> int:
        return len(self._files)

    def block_of(self, position: Any) -> Any:
        """Return the row group of the image at `position`, or of each in an array of positions."""
        return self._files.group_of(position)

    def open_block(self, positions: Sequence[int]) -> list[Opener]:
        """Return functions that open the images at `positions`, all in one row group.

        The functions hold the bytes of these images only, not the row group.
        """
        values = self._values(positions[0], self._leaf)
        if self._groups.made_again > _MOST_AGAIN:
            name = self._files.files.name_of(0)
            size = values.get_total_buffer_size() / 1e6
            text = (
                f"the same row groups of {name!r} are read again and again. A group has"
                f" {size:.1f} MB, so cache_bytes is too small for the groups that are shuffled"
                " together: give a larger cache_bytes, or BlockShuffleSampler a smaller window"
            )
            tell(text, key=f"{name} needs a larger cache_bytes")
        rows = [values[self._row_of(position)] for position in positions]
        data = [row.as_buffer().to_pybytes() if row.is_valid else None for row in rows]
        return [partial(self._opened, *one) for one in zip(data, positions, strict=True)]

    def signature(self, position: int) -> tuple[int, ...]:
        """Return the signature of the Parquet file.

        Image files that its rows name are not checked.
        """
        return self._files.files.signature(self._files.file_of(position))

    def fingerprint(self) -> dict[str, Any]:
        """Return the paths and the column."""
        return {**self._files.files.fingerprint(), "column": self._files.column}

    def _data(self, position: int) -> Any:
        value = self._values(position, self._leaf)[self._row_of(position)]
        return value.as_buffer() if value.is_valid else None

    def _path(self, position: int) -> str | None:
        if self._path_leaf is None:
            return None
        path: str | None = self._values(position, self._path_leaf)[self._row_of(position)].as_py()
        return path

    def _location(self, position: int, path: str) -> Location:
        is_whole = is_url(path) or path.startswith("/")
        return Location(path) if is_whole else self._files.beside(position, path)

    def _place(self, position: int) -> str:
        return self._files.place_of(position)

    def _values(self, position: int, leaf: str) -> pa.ChunkedArray:
        return self._groups[int(self._files.group_of(position)), leaf]

    def _row_of(self, position: int) -> int:
        """Return the number of a row in its row group."""
        return position - int(self._files.starts[self._files.group_of(position)])


class ParquetImageAccessor(EncodedImageAccessor):
    """Encoded images in a column of Parquet files: an int gives one, an index array the stack.

    Files are read by the row group: only this column, with one request for each group from a store.
    A batch reads no group twice. A full shuffle would read about one group for each sample, so
    shuffle by blocks, with a `window` of groups that fits into `cache_bytes`:

        images = ParquetImageAccessor("train/", size=(224, 224))
        sampler = BlockShuffleSampler(images.row_group_lengths, window=4)
        source = ArrayDataSource([images, images.column("label")], sampler=sampler)

    Args:
        paths: A file, a pattern such as `train/*/*.parquet` or `{000..099}.parquet`, a folder,
            whose files `*.parquet` are read in the order of their names, or several of these. They
            can be URLs, such as `s3://bucket/train` and `hf://datasets/user/name/*.parquet`.
        column: A column that holds the bytes of image files, or structs with these bytes in a field
            `bytes`, as in Hugging Face data sets. If the bytes are null, the file at the struct's
            `path` is read. This path can be relative to the folder of the Parquet file.
        size: As for `EncodedImageAccessor`; so are `layout`, `reading`, the shapes and the dtypes.
        filesystem: As for `ImageFileAccessor`; all `paths` are then paths in it.
        cache_bytes: How many bytes of the most recently used row groups each process keeps in
            memory.
        io_threads: How many row groups of a batch are read at the same time.
        cache: A `DiskCache`, which keeps on each host's disk the parts of remote files that were
            read.

    Indexing raises the errors of `EncodedImageAccessor`, and StorageError for a file that has
    changed. The constructor raises OSError for a file that cannot be opened, FileNotFoundError for
    a folder or a pattern without Parquet files, TypeError for a column of an unsuitable type, and
    ValueError for a file that is not a Parquet file, lacks the column, or has it in a different
    type than the first file.
    """

    def __init__(
        self,
        paths: ParquetPaths,
        column: str = "image",
        size: Size = None,
        *,
        filesystem: Any = None,
        cache_bytes: int = 2**28,
        layout: PixelLayout | None = None,
        io_threads: int = 1,
        cache: DiskCache | None = None,
        **reading: Any,
    ) -> None:
        self._rows = ParquetFiles(paths, column, filesystem, cache)
        cells = ParquetCells(self._rows, cache_bytes)
        super().__init__(cells, size, layout=layout, io_threads=io_threads, **reading)

    @property
    def row_group_lengths(self) -> npt.NDArray[np.int64]:
        """The lengths of the row groups, int64 `(groups,)`: blocks for a `BlockShuffleSampler`."""
        return np.diff(self._rows.starts)

    def column(self, name: str) -> Any:
        """Return a whole column, or a field such as `image.path`, in memory.

        Numbers, times and strings become an array `(len(self),)`. Lists of numbers become a
        `RaggedArray`, or an array `(len(self), length, ...)` if the column's type fixes the length.
        Structs and other lists become an `ItemAccessor`. ValueError if a value is null, or if a
        file lacks the column or has it in a different type; TypeError for bytes.
        """
        return self._rows.read_column(name)


def _leaves(files: ParquetFiles) -> tuple[str, str | None]:
    """Return the names of the columns of bytes and of paths; the latter can be None."""
    kind, column = files.type, files.column
    if _is_bytes(kind):
        return column, None
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if "bytes" not in fields or not _is_bytes(fields["bytes"]):
        raise TypeError(
            f"column {column!r} of {files.files.name_of(0)!r} is {kind}, not binary, large_binary,"
            " binary_view or a struct with a field `bytes` of these types"
        )
    return f"{column}.bytes", f"{column}.path" if "path" in fields else None


def _is_bytes(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in BYTES)
