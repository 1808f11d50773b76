"""Parquet files as one table of rows: which file has which, read once and kept in a few arrays."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from raybatch.accessors.paths import PathTable
from raybatch.accessors.redaction import redacted
from raybatch.accessors.storage import LocalFiles, is_url

ParquetPaths: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_SUFFIX = ".parquet"


class ParquetFiles:
    """The rows of one or more Parquet files, one after the other; `column` has one type in all of them.

    `files` are their paths, `type` is the Arrow type of the column. Row group g holds the rows `starts[g]` up to
    `starts[g + 1]`, counted over all files.
    """

    def __init__(self, paths: ParquetPaths, column: str) -> None:
        self.files = PathTable(_listed(paths))
        if len(self.files) == 0:
            raise ValueError("paths must hold at least one Parquet file; it is empty")
        self.column = column
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

    def place_of(self, position: int) -> str:
        """Return the file of a row and its number in that, `file.parquet[row]`."""
        number = self._file_of(int(self.group_of(position)))
        row = position - int(self.starts[self._first_groups[number]])
        return f"{self.files[number]}[{row}]"

    def folder_of(self, position: int) -> str:
        """Return the folder that the file of a row lies in."""
        return os.path.dirname(self.files[self._file_of(int(self.group_of(position)))])

    def signature(self, position: int) -> tuple[int, ...]:
        """Return what is another when the file of a row has changed."""
        number = self._file_of(int(self.group_of(position)))
        return LocalFiles().signature(self.files[number])

    def read_group(self, group: int, leaf: str) -> pa.ChunkedArray:
        """Return `leaf`, the column or a field of it such as `image.bytes`, of a row group.

        OSError if the file is not what it was when this was made.
        """
        number = self._file_of(group)
        own = group - int(self._first_groups[number])
        length = int(self.starts[group + 1] - self.starts[group])
        with open_parquet(self.files[number]) as file:
            metadata = file.metadata
            is_same = own < metadata.num_row_groups and metadata.row_group(own).num_rows == length
            # One column needs no threads; those of Arrow would not live on in a forked process.
            table = file.read_row_group(own, [leaf], use_threads=False) if is_same else None
        if table is None or self.column not in table.column_names:
            raise OSError("the file has changed since it was opened first")
        values = table[self.column]
        return values.flatten()[0] if pa.types.is_struct(values.type) else values

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

    def _file_of(self, group: int) -> int:
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
            raise ValueError(f"{path!r} is no Parquet file: {error}") from error
        yield file


def _listed(paths: ParquetPaths) -> list[str]:
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    found: list[str] = []
    for path in [os.fspath(path) for path in given]:
        if is_url(path):
            raise ValueError(f"{redacted(path)!r} is a URL; Parquet files are read on this machine")
        if not os.path.isdir(path):
            found.append(path)
            continue
        store = LocalFiles()
        names = [name for run in store.below(path, depth=1) for name in run]
        # A name with a dot in front is one that is still being written.
        own = [name for name in names if name.endswith(_SUFFIX) and name[0] != "."]
        if not own:
            raise FileNotFoundError(f"no {_SUFFIX} files in {path!r}")
        found += store.join(path, own)
    return found
