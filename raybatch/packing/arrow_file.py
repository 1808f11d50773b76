"""Collects the rows of one packed file, and writes them as an Arrow file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raybatch.accessors.manifest import PackedColumn, PackedFile, file_crc32
from raybatch.sources.batch import Batch
from raybatch.stores.aside import written_aside
from raybatch.structure import described, is_container, is_plain_tuple, members

# The alignment that Arrow recommends for buffers; its Python writer aligns to 8.
_ALIGNMENT = 64
_OPTIONS = pa.ipc.IpcWriteOptions(allow_64bit=True)
_CLASSES = "raybatch.classes"
_PADDING = "raybatch.padding"


def column_of(name: str, array: Any) -> PackedColumn:
    """Return the column for the rows of `array`, or of a list of strings.

    TypeError if Arrow has no fixed type for them.
    """
    array = _with_strings(array)
    if is_container(array):
        raise TypeError(
            f"{name!r} has fields, {described(array)}, but a column is one array: make each field a"
            " column with map"
        )
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{name!r} is a {type(array).__name__}, not an array: give a size to pack images of"
            " many sizes. RaggedArrays cannot be packed: keep them beside the packed columns"
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
    """The rows of one file of `columns`, up to `capacity` of them, copied batch by batch."""

    def __init__(self, columns: Sequence[PackedColumn], capacity: int) -> None:
        self._columns = columns
        self._count = 0
        # The rows are copied because a batch can lie in the object store, which must stay free for
        # the batches that are made ahead.
        self._arrays: list[Any] = [
            [] if column.dtype == "str" else np.empty((capacity, *column.shape), column.dtype)
            for column in columns
        ]

    def add(self, batch: Batch) -> None:
        """Copy the rows of `batch`, one array per column; ValueError if they do not match."""
        fields, names = members(batch), [column.name for column in self._columns]
        if len(fields) != len(names) or not (is_plain_tuple(batch) or fields.keys() == set(names)):
            raise ValueError(
                f"a batch has the arrays {list(fields)}, but the first one had {names}"
            )
        arrays = list(fields.values() if is_plain_tuple(batch) else map(fields.__getitem__, names))
        for column, array in zip(self._columns, arrays, strict=True):
            found = column_of(column.name, array)
            if found != column:
                raise ValueError(
                    f"{column.name!r} is {found.dtype} of shape {found.shape} in a batch, but was"
                    f" {column.dtype} of {column.shape} in the first: rows of a file have one dtype"
                    " and shape"
                )
        stop = self._count + len(arrays[0])
        for own, array in zip(self._arrays, arrays, strict=True):
            if isinstance(own, list):
                own.extend(_with_strings(array).tolist())
            else:
                own[self._count : stop] = array
        self._count = stop

    def write(
        self, path: Path, classes: Sequence[str] | None, bad_samples: tuple[dict[str, Any], ...]
    ) -> PackedFile:
        """Write the rows under a temporary name, rename the file to `path`, and return its record.

        The file is on the disk before it is renamed.
        """
        arrays = [
            _arrow_array(column, own[: self._count])
            for column, own in zip(self._columns, self._arrays, strict=True)
        ]
        batch = _aligned(arrays, [column.name for column in self._columns], classes)
        with written_aside(path, synced=True) as aside:
            with pa.OSFile(os.fsencode(aside), "wb") as sink:
                _write(sink, batch)
            nbytes, crc32 = aside.stat().st_size, file_crc32(aside)
        return PackedFile(path.name, self._count, nbytes, crc32, bad_samples)


def _with_strings(array: Any) -> Any:
    """Return `array`; a list of strings becomes an array."""
    is_text = isinstance(array, list) and array and all(type(value) is str for value in array)
    return np.array(array) if is_text else array


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
                f"{column.name!r} has {error.object!r}, which is not valid text: a file name need"
                " not be valid text, but a column of strings must"
            ) from error
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    flat = pa.array(values.reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(flat, type=kind.storage_type)
    return pa.ExtensionArray.from_storage(kind, storage)


def _aligned(
    arrays: list[pa.Array], names: list[str], classes: Sequence[str] | None
) -> pa.RecordBatch:
    """Return the record batch with padding in its schema that aligns its first buffer in the file.

    The part before the buffers is as long for one row as for all, so one row shows the offset.
    """
    about = {} if classes is None else {_CLASSES: json.dumps(list(classes))}
    batch = pa.RecordBatch.from_arrays(arrays, names)
    for padding in range(0, _ALIGNMENT, 8):
        batch = batch.replace_schema_metadata({**about, _PADDING: " " * padding})
        if len(batch) == 0 or _first_buffer(batch.slice(0, 1)) % _ALIGNMENT == 0:
            break
    return batch


def _first_buffer(batch: pa.RecordBatch) -> int:
    """Return the offset of the first buffer of `batch` in its file, in bytes."""
    sink = pa.BufferOutputStream()
    _write(sink, batch)
    whole = sink.getvalue()
    column = pa.ipc.open_file(whole).get_batch(0).column(0)
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    address: int = next(buffer.address for buffer in storage.buffers() if buffer is not None)
    start: int = whole.address
    return address - start
