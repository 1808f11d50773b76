"""Packed rows on their way into Arrow files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybatch.accessors.packed import PackedColumn, PackedFile, file_crc32
from raybatch.packing.folder import PackFolder
from raybatch.sources import BadSampleLedger, Batch

# Arrow's recommendation for buffers; its Python writer goes by 8.
_ALIGNMENT = 64
_OPTIONS = pa.ipc.IpcWriteOptions(allow_64bit=True)
_CLASSES = "raybatch.classes"
_PADDING = "raybatch.padding"


def column_of(name: str, array: Any) -> PackedColumn:
    """Return the column for the rows of `array`; TypeError if Arrow has no fixed type for them."""
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{name!r} is a {type(array).__name__}, not an array: images of many sizes are packed with a size given"
        )
    shape, dtype = array.shape[1:], array.dtype.newbyteorder("=")
    column = PackedColumn(name, "str" if dtype.kind == "U" else dtype.str, shape)
    try:
        if dtype.kind not in ("biuf" if shape else "biufMmU") or 0 in shape:
            raise pa.ArrowInvalid("no numbers")
        _arrow_array(column, np.zeros((1, *shape), dtype))
    except pa.ArrowException:
        raise TypeError(f"{name!r}, of {array.dtype} and shape {shape}, cannot be packed") from None
    return column


class FileRows:
    """The rows of one file, up to `capacity` of them, while they come batch by batch."""

    def __init__(self, columns: Sequence[PackedColumn], capacity: int) -> None:
        self.rows = 0
        # The batches themselves may lie in the object store, which is for those that are made ahead.
        self._arrays: list[Any] = [
            [] if column.dtype == "str" else np.empty((capacity, *column.shape), column.dtype)
            for column in columns
        ]

    def add(self, batch: Sequence[npt.NDArray[Any]]) -> None:
        """Copy the rows of `batch`, one array a column."""
        stop = self.rows + len(batch[0])
        for own, array in zip(self._arrays, batch, strict=True):
            if isinstance(own, list):
                own.extend(array.tolist())
            else:
                own[self.rows : stop] = array
        self.rows = stop

    @property
    def arrays(self) -> list[Any]:
        """What has come, an array or a list of strings a column."""
        return [own[: self.rows] for own in self._arrays]


def write_arrow_file(
    path: Path,
    columns: Sequence[PackedColumn],
    rows: FileRows,
    classes: Sequence[str] | None,
    bad_samples: tuple[dict[str, Any], ...],
) -> PackedFile:
    """Write `rows` aside, rename the file to `path` when it is on the disk, and return what to note of it."""
    arrays = [_arrow_array(column, own) for column, own in zip(columns, rows.arrays, strict=True)]
    batch = _aligned(arrays, [column.name for column in columns], classes)
    aside = path.with_name(f".{path.name}")
    with pa.OSFile(os.fsencode(aside), "wb") as sink:
        _write(sink, batch)
    descriptor = os.open(aside, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    crc32 = file_crc32(aside)
    aside.replace(path)
    return PackedFile(path.name, rows.rows, path.stat().st_size, crc32, bad_samples)


def _write(sink: Any, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_file(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)


def _arrow_array(column: PackedColumn, values: Any) -> pa.Array:
    kind = column.arrow_type
    if not column.shape:
        try:
            return pa.array(values, kind)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{column.name!r} has {error.object!r}, which is not text: file names need not be, labels must"
            ) from error
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    flat = pa.array(values.reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(flat, type=kind.storage_type)
    return pa.ExtensionArray.from_storage(kind, storage)


def _aligned(
    arrays: list[pa.Array], names: list[str], classes: Sequence[str] | None
) -> pa.RecordBatch:
    """Return the record batch, with as much padding in its schema as puts its first buffer where it should be.

    What comes before the buffers is as long for one row as for all.
    """
    about = {} if classes is None else {_CLASSES: json.dumps(list(classes))}
    batch = pa.RecordBatch.from_arrays(arrays, names)
    for padding in range(0, _ALIGNMENT, 8):
        batch = batch.replace_schema_metadata({**about, _PADDING: " " * padding})
        if len(batch) == 0 or _first_buffer(batch.slice(0, 1)) % _ALIGNMENT == 0:
            break
    return batch


def _first_buffer(batch: pa.RecordBatch) -> int:
    """Return where in its file the first buffer of `batch` lies, in bytes."""
    sink = pa.BufferOutputStream()
    _write(sink, batch)
    whole = sink.getvalue()
    column = pa.ipc.open_file(whole).get_batch(0).column(0)
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    address: int = next(buffer.address for buffer in storage.buffers() if buffer is not None)
    start: int = whole.address
    return address - start


class FileWriter:
    """Writes files into `folder`; `ledger` has the bad samples of the batches so far.

    Leaving the `with` waits for the file that is being written. An error in writing is raised with the next file.
    """

    def __init__(self, folder: PackFolder, ledger: BadSampleLedger) -> None:
        self._folder = folder
        self._ledger = ledger
        self._columns = folder.manifest.columns
        self._number = -1
        self._rows: FileRows | None = None
        self._written: set[int] = set()
        self._executor = ThreadPoolExecutor(1, "raybatch-pack")
        self._pending: Future[None] | None = None

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown()

    def add(self, number: int, batch: Batch, is_last: bool) -> None:
        """Add `batch` to file `number`, which begins where the one before ends; `is_last` of the file."""
        self._check(batch)
        if number != self._number:
            self._end_file()
            self._number, self._rows = number, self._new_rows(number)
        assert self._rows is not None
        self._rows.add(batch)
        if is_last:
            self._end_file()

    def end(self, numbers: Iterable[int]) -> None:
        """End the last file, and write those of `numbers` for which no batch came, without rows."""
        self._end_file()
        for number in numbers:
            if number not in self._written:
                self._number, self._rows = number, FileRows(self._columns, 0)
                self._end_file()
        if self._pending is not None:
            self._pending.result()

    def _new_rows(self, number: int) -> FileRows:
        settings, size = self._folder.manifest.settings, self._folder.batches_per_file
        batches = min(size, int(settings["batches"]) - number * size)
        return FileRows(self._columns, batches * int(settings["batch_size"]))

    def _end_file(self) -> None:
        if self._rows is None:
            return
        if self._pending is not None:
            self._pending.result()
        size = self._folder.batches_per_file
        batches = range(self._number * size, (self._number + 1) * size)
        bad = tuple(dataclasses.asdict(one) for one in self._ledger if one.batch in batches)
        self._written.add(self._number)
        self._pending = self._executor.submit(self._write, self._number, self._rows, bad)
        self._rows = None

    def _write(self, number: int, rows: FileRows, bad: tuple[dict[str, object], ...]) -> None:
        path = self._folder.path / self._folder.file_names[number]
        classes = self._folder.manifest.classes
        self._folder.note(write_arrow_file(path, self._columns, rows, classes, bad))

    def _check(self, batch: Batch) -> None:
        columns = self._columns
        if len(batch) != len(columns):
            raise ValueError(f"a batch has {len(batch)} arrays, the first one had {len(columns)}")
        for column, array in zip(columns, batch, strict=True):
            found = column_of(column.name, array)
            if found != column:
                raise ValueError(
                    f"{column.name!r} is {found.dtype} of shape {found.shape} in a batch, and was {column.dtype} of "
                    f"{column.shape} in the first: rows of a file have one dtype and shape"
                )
