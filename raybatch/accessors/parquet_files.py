"""The row groups and columns of Parquet files, local or in a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from raybatch.accessors.items import ItemAccessor
from raybatch.accessors.kept import Kept
from raybatch.errors import StorageError
from raybatch.ragged import RaggedArray
from raybatch.stores.braces import shard_paths
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.local_files import FileVersion
from raybatch.stores.location import Location, Locations

ParquetPaths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

T = TypeVar("T")

_AT_ONCE = 16
_FOOTER_BYTES = 2**24


class ParquetFiles:
    """The rows of one or more Parquet files, in order; `column` has one type in all of them.

    `files` holds their paths, `type` is the Arrow type of the column. Row group g has the rows from
    `starts[g]` up to `starts[g + 1]`, counted over all files.

    Each process reads the footer of a file once, and then the requested column chunks of each row
    group, in one request per chunk.
    """

    def __init__(
        self,
        paths: ParquetPaths,
        column: str,
        filesystem: Any = None,
        cache: DiskCache | None = None,
    ) -> None:
        listed = shard_paths(paths, ".parquet", filesystem)
        self.files = Locations(listed, filesystem=filesystem, cache=cache)
        self.files.check_can_open()
        self.column = column
        self._filesystem = filesystem
        self._footers = Kept(partial(_footer, self.files), _Footer.nbytes_of, _FOOTER_BYTES)
        lengths = self._of_each(column, _group_lengths)
        self.type = self._type_in(0, column)
        self.starts = np.cumsum([0, *(rows for own in lengths for rows in own)], dtype=np.int64)
        self._first_groups = np.cumsum([0, *map(len, lengths)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def group_of(self, position: Any) -> Any:
        """Return the row group of the row at `position`, or of each in an array of positions."""
        # If several groups start at the same row, all but the last are empty.
        return np.searchsorted(self.starts, position, side="right") - 1

    def file_of(self, position: int) -> int:
        """Return the number of the file that holds a row."""
        return self._file_of_group(int(self.group_of(position)))

    def place_of(self, position: int) -> str:
        """Return a row's file and its number there, `file.parquet[row]`, without credentials."""
        number = self.file_of(position)
        row = position - int(self.starts[self._first_groups[number]])
        return f"{self.files.name_of(number)}[{row}]"

    def beside(self, position: int, path: str) -> Location:
        """Return the file at `path`, relative to the folder of the file that holds the row."""
        file, query = Location(self.files[self.file_of(position)], self._filesystem).split_query()
        folder = Location(file.rpartition("/")[0] + query, self._filesystem)
        return Location(folder.join([path])[0], self._filesystem)

    def read_group(self, group: int, leaf: str) -> pa.ChunkedArray:
        """Return the column `leaf`, such as `image` or `image.bytes`, of one row group.

        StorageError if the file has changed since this object was made. It is not a
        `SampleReadError`, because the file holds many samples.
        """
        number = self._file_of_group(group)
        own = group - int(self._first_groups[number])
        length = int(self.starts[group + 1] - self.starts[group])
        try:
            file = self._opened(number)
            names = file.schema_arrow.names
            is_same = _parts_of(names, self.column)[0] in names and own < file.num_row_groups
            if not is_same or file.metadata.row_group(own).num_rows != length:
                name = self.files.name_of(number)
                raise StorageError(f"the file has changed since it was first opened: {name!r}")
            # One column needs no threads, and Arrow's threads do not survive a fork.
            table = file.read_row_group(own, [leaf], use_threads=False)
        except (FileNotFoundError, PermissionError, NoParquetError) as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error
        return _inner(table, leaf)

    def read_column(self, name: str) -> Any:
        """Return all of the column `name`; see `ParquetImageAccessor.column`."""
        parts = self._of_each(name, lambda file: _inner(file.read([name], use_threads=False), name))
        values = pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if values.null_count:
            place = self.place_of(values.is_null().index(True).as_py())
            raise ValueError(f"column {name!r} is null at {place!r}")
        try:
            return _as_array(values)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            where = self.files.name_of(0)
            raise kind(f"column {name!r} of {where!r} is {values.type}: {error}") from None

    def _file_of_group(self, group: int) -> int:
        return int(np.searchsorted(self._first_groups, group, side="right")) - 1

    def _of_each(self, column: str, ask: Callable[[Any], T]) -> list[T]:
        """Call `ask` for each file, several at a time, and return the results.

        TypeError if `column` is not a str; ValueError unless all files have it, with one type.
        """
        if not isinstance(column, str):
            raise TypeError(
                f"column must be the name of a column, not {column!r}: did you mean"
                f" size={column!r}?"
            )

        def answer(number: int) -> T:
            found, wanted = (self._type_in(which, column) for which in (number, 0))
            if found != wanted:
                raise ValueError(
                    f"column {column!r} is {found} in {self.files.name_of(number)!r}, but {wanted}"
                    f" in {self.files.name_of(0)!r}"
                )
            return ask(self._opened(number))

        with ThreadPoolExecutor(_AT_ONCE, "raybatch-parquet") as executor:
            return list(executor.map(answer, range(len(self.files))))

    def _type_in(self, number: int, column: str) -> pa.DataType:
        schema = self._opened(number).schema_arrow
        found: Any = None
        for name in _parts_of(schema.names, column):
            fields = schema if found is None else found
            count = list(getattr(fields, "names", ())).count(name)
            if count != 1:
                raise ValueError(
                    f"{self.files.name_of(number)!r} has {count or 'no'} column{'s' * (count > 1)}"
                    f" {column!r}; it has {schema.names}"
                )
            found = fields.field(name).type
        return found

    def _opened(self, number: int) -> Any:
        footer = self._footers[(number,)]
        return _parquet_file(self.files, number, footer.version, footer.metadata)


class NoParquetError(ValueError):
    """A file is not in the Parquet format."""


class _Footer(NamedTuple):
    version: FileVersion
    metadata: Any

    def nbytes_of(self) -> int:
        return int(self.metadata.serialized_size)


def _footer(files: Locations, number: int) -> _Footer:
    version = files.version(number)
    try:
        return _Footer(version, _parquet_file(files, number, version).metadata)
    except pa.ArrowException as error:
        raise NoParquetError(f"{files.name_of(number)!r} is not a Parquet file: {error}") from error


def _parquet_file(files: Locations, number: int, version: FileVersion, metadata: Any = None) -> Any:
    source = files.open_parts(number, version)
    return pa.parquet.ParquetFile(source, metadata=metadata, pre_buffer=False)


def _group_lengths(file: Any) -> list[int]:
    metadata = file.metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def _parts_of(names: list[str], column: str) -> list[str]:
    """Split `column` at its dots, as in `image.path`, unless it is itself one of the `names`."""
    return [column] if column in names else column.split(".")


def _inner(table: pa.Table, column: str) -> pa.ChunkedArray:
    """Return `column` of a table that has no other columns."""
    values = table.column(0)
    for _ in _parts_of(table.column_names, column)[1:]:
        values = values.flatten()[0]
    return values


def _as_array(values: pa.ChunkedArray) -> Any:
    """Return a column without nulls as an array or accessor; TypeError if its type fits neither."""
    kind = values.type
    if isinstance(kind, pa.FixedShapeTensorType):
        return np.concatenate([chunk.to_numpy_ndarray() for chunk in values.chunks])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.array(values.to_pylist(), dtype=np.str_)
    if pa.types.is_struct(kind):
        return ItemAccessor(values.to_pylist())
    if pa.types.is_nested(kind):
        inner = kind
        while not pa.types.is_struct(inner) and pa.types.is_nested(inner):
            inner = inner.value_type
        if not pa.types.is_primitive(inner):
            return ItemAccessor(values.to_pylist(), collate="list")
        rows = RaggedArray(values)
        if pa.types.is_fixed_size_list(kind):
            return rows.values.reshape(len(rows), kind.list_size, *rows.inner_shape)
        return rows
    array: npt.NDArray[Any] = values.to_numpy()
    if array.dtype == object:
        raise TypeError("not numbers, times, strings, lists or structs")
    return array
