"""Encoded images in columns of Parquet files."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from threading import Lock
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from raybatch.accessors.images import ImageArrays
from raybatch.accessors.reading import Opener
from raybatch.accessors.sample_sizes import Size, readers_of
from raybatch.checks import positive_int
from raybatch.errors import StorageError
from raybatch.faults import Fault, fault_of
from raybatch.image import PixelLayout
from raybatch.retries import Retries
from raybatch.stores.local_files import LocalFiles
from raybatch.stores.local_path import local_path
from raybatch.stores.location import Location, Locations
from raybatch.stores.url_files import is_url

ParquetPaths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_SUFFIX = ".parquet"


class ParquetFiles:
    """The rows of one or more Parquet files, one after the other; `column` has one type in all of them.

    `files` are their paths, `type` is the Arrow type of the column. Row group g holds the rows `starts[g]` up to
    `starts[g + 1]`, counted over all files.
    """

    def __init__(self, paths: ParquetPaths, column: str) -> None:
        self.files = Locations(_listed(paths))
        if len(self.files) == 0:
            raise ValueError("paths must hold at least one Parquet file; it is empty")
        self.column = column
        self._retries = Retries()
        lengths: list[int] = []
        groups: list[int] = []
        for _, file in self._each(column):
            metadata = file.metadata
            groups.append(metadata.num_row_groups)
            lengths += [metadata.row_group(group).num_rows for group in range(groups[-1])]
            self.type = file.schema_arrow.field(column).type
        self.starts = np.cumsum([0, *lengths], dtype=np.int64)
        self._first_groups = np.cumsum([0, *groups], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def group_of(self, position: Any) -> Any:
        """Return the row group of the row at `position`, or of each in an array of them."""
        # Of groups that start at one row, all but the last are empty.
        return np.searchsorted(self.starts, position, side="right") - 1

    def file_of(self, position: int) -> int:
        """Return the number of the file of a row."""
        return self._file_of_group(int(self.group_of(position)))

    def place_of(self, position: int) -> str:
        """Return the file of a row and its number in that, `file.parquet[row]`."""
        number = self.file_of(position)
        row = position - int(self.starts[self._first_groups[number]])
        return f"{self.files[number]}[{row}]"

    def read_group(self, group: int, leaf: str) -> pa.ChunkedArray:
        """Return `leaf`, the column or a field of it such as `image.bytes`, of a row group.

        StorageError if the file, in which there are many samples, is not what it was when this was made.
        """
        try:
            table = self._retries.call(self._read_group, group, leaf)
        except (FileNotFoundError, PermissionError, NoParquetError) as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error
        if table is None or self.column not in table.column_names:
            raise StorageError("the file has changed since it was opened first")
        values = table[self.column]
        return values.flatten()[0] if pa.types.is_struct(values.type) else values

    def _read_group(self, group: int, leaf: str) -> pa.Table | None:
        number = self._file_of_group(group)
        own = group - int(self._first_groups[number])
        length = int(self.starts[group + 1] - self.starts[group])
        with open_parquet(self.files[number]) as file:
            metadata = file.metadata
            if own >= metadata.num_row_groups or metadata.row_group(own).num_rows != length:
                return None
            # One column needs no threads; those of Arrow would not live on in a forked process.
            return file.read_row_group(own, [leaf], use_threads=False)

    def read_column(self, name: str) -> npt.NDArray[Any]:
        """Return all of the column `name`, shape `(rows,)`; see `ParquetImageAccessor.column`."""
        parts = [file.read([name], use_threads=False)[name] for _, file in self._each(name)]
        values = pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if values.null_count:
            place = self.place_of(values.is_null().index(True).as_py())
            raise ValueError(f"column {name!r} is null at {place!r}")
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return np.array(values.to_pylist(), dtype=np.str_)
        array: npt.NDArray[Any] = values.to_numpy()
        if array.dtype == object:
            raise TypeError(
                f"column {name!r} of {self.files[0]!r} is {values.type}, not numbers, times or strings"
            )
        return array

    def _file_of_group(self, group: int) -> int:
        return int(np.searchsorted(self._first_groups, group, side="right")) - 1

    def _each(self, column: str) -> Iterator[tuple[str, Any]]:
        """Iterate over the paths and the open files, all with one type of `column`."""
        wanted = None
        for number in range(len(self.files)):
            path = self.files[number]
            with open_parquet(path) as file:
                schema = file.schema_arrow
                if column not in schema.names:
                    raise ValueError(f"{path!r} has no column {column!r}; it has {schema.names}")
                found = schema.field(column).type
                wanted = found if wanted is None else wanted
                if found != wanted:
                    raise ValueError(
                        f"column {column!r} of {path!r} is {found}, that of {self.files[0]!r} is {wanted}"
                    )
                yield path, file


class NoParquetError(ValueError):
    """A file is not in the format of Parquet."""


@contextmanager
def open_parquet(path: str) -> Iterator[Any]:
    """Open a file of this machine; OSError if that fails, ValueError if it is no Parquet file."""
    # To open a pipe would wait for a writer.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"not a regular file: {path!r}")
    # A file name need not be valid UTF-8.
    with pa.OSFile(os.fsencode(path)) as source:
        try:
            file = pa.parquet.ParquetFile(source, pre_buffer=False)
        except pa.ArrowException as error:
            raise NoParquetError(f"{path!r} is no Parquet file: {error}") from error
        yield file


def _listed(paths: ParquetPaths) -> list[str]:
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found: list[str] = []
    for path in [os.fspath(path) for path in given]:
        if is_url(path):
            path = os.fspath(local_path(path))
        if not os.path.isdir(path):
            found.append(path)
            continue
        folder = Location(path)
        names = [name for run in folder.below(depth=1) for name in run]
        # A file that is still being written is hidden.
        own = [name for name in names if name.endswith(_SUFFIX)]
        if not own:
            raise FileNotFoundError(f"no {_SUFFIX} files in {path!r}")
        found += folder.join(own)
    return found


class RowGroupCache:
    """`read(group)`, of which the `size` that were asked for last are kept, in each process its own.

    Threads may ask at once: one that is being read is read once, and others meanwhile. A pickled cache is empty.
    """

    def __init__(self, read: Callable[[int], pa.ChunkedArray], size: int) -> None:
        self._read = read
        self._size = positive_int("cached_row_groups", size)
        self._clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return RowGroupCache, (self._read, self._size)

    def _clear(self) -> None:
        self._groups = lru_cache(self._size)(lambda group: _RowGroup())
        self._lock = Lock()
        self._pid = os.getpid()

    def __getitem__(self, group: int) -> pa.ChunkedArray:
        if self._pid != os.getpid():
            self._clear()  # a fork takes the locks along, in whatever state they were
        with self._lock:
            kept = self._groups(group)
        with kept.lock:
            if kept.values is None:
                kept.values = self._read(group)
            return kept.values


class _RowGroup:
    def __init__(self) -> None:
        self.lock = Lock()
        self.values: pa.ChunkedArray | None = None


class ParquetCells:
    """The encoded images in the cells of `files`; of the row groups, the `cached_row_groups` used last are in memory."""

    def __init__(self, files: ParquetFiles, cached_row_groups: int) -> None:
        self._files = files
        leaf, self._path_leaf = _leaves(files)
        self._groups = RowGroupCache(partial(files.read_group, leaf=leaf), cached_row_groups)

    def __len__(self) -> int:
        return len(self._files)

    def open(self, position: int) -> IO[bytes]:
        """Return the image at `position`, or the file that its path names; OSError if both are null."""
        return self._opened(self._groups[int(self._files.group_of(position))], position)

    @contextmanager
    def openers(self, positions: Sequence[int]) -> Iterator[list[Opener]]:
        """Give what opens each of the images at `positions`, taken out of one row group after the other."""
        openers: list[Opener] = [partial(self.open, position) for position in positions]
        groups = self._files.group_of(np.array(positions, np.int64))
        for group in np.unique(groups).tolist():
            # What cannot be read now is an error when its image's turn comes, and it is opened again.
            with suppress(Exception):
                values = self._groups[group]
                for row in np.flatnonzero(groups == group).tolist():
                    openers[row] = partial(self._opened, values, positions[row])
        yield openers

    def name_of(self, position: int) -> str:
        """Return where the image lies, `file.parquet[row]`, and the path that is stored with it, if any."""
        place = self._files.place_of(position)
        # Why an image cannot be read must not be hidden by a path that cannot.
        with suppress(Exception):
            path = self._stored_path(position)
            return place if path is None else f"{place} ({Location(path)})"
        return place

    def signature(self, position: int) -> tuple[int, ...]:
        """Return that of the Parquet file; an image file that a row names by its path is not asked."""
        return self._files.files.signature(self._files.file_of(position))

    def fingerprint(self) -> dict[str, Any]:
        """Return which paths and which column these are of."""
        return {**self._files.files.fingerprint(), "column": self._files.column}

    def _opened(self, values: pa.ChunkedArray, position: int) -> IO[bytes]:
        """Return the image at `position`, in whose row group are `values`."""
        value = values[self._row_of(position)]
        if value.is_valid:
            return io.BytesIO(value.as_buffer())
        path = self._stored_path(position)
        if path is None:
            raise OSError("the image is null")
        folder = os.path.dirname(self._files.files[self._files.file_of(position)])
        try:
            return LocalFiles().open(os.path.join(folder, path))
        except OSError as error:
            reason = Location(path).hide(str(error))
            kind = OSError if fault_of(error) is Fault.SAMPLE else StorageError
        # Outside the block, since the error would travel with this one as its context, text and all.
        raise kind(f"the image is null, and its path leads to none: {reason}")

    def _stored_path(self, position: int) -> str | None:
        """Return the path that is stored with an image; those of its group are read for that."""
        if self._path_leaf is None:
            return None
        paths = self._files.read_group(int(self._files.group_of(position)), self._path_leaf)
        path: str | None = paths[self._row_of(position)].as_py()
        return path

    def _row_of(self, position: int) -> int:
        """Return the number of a row in its row group."""
        return position - int(self._files.starts[self._files.group_of(position)])


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
        size: Size = None,
        *,
        layout: PixelLayout | None = None,
        cached_row_groups: int = 4,
        **reading: Any,
    ) -> None:
        self._rows = ParquetFiles(paths, column)
        cells = ParquetCells(self._rows, cached_row_groups)
        super().__init__(readers_of(size, **reading), cells, cells.openers, layout)

    @property
    def row_group_lengths(self) -> npt.NDArray[np.int64]:
        """The number of rows in each row group, int64 `(groups,)`: the blocks of a `BlockShuffleSampler`."""
        return np.diff(self._rows.starts)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return all of another column, such as the labels: shape `(len(self),)`, in memory.

        The dtype is that of the numbers, datetimes or strings in it. ValueError if a file lacks it or has it in
        another type, or if a value is null; TypeError for lists, structs and bytes.
        """
        return self._rows.read_column(name)


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
