"""Rows of bytes in one file of this host, each with a checksum, which any number of processes read and write."""

from __future__ import annotations

import hashlib
import os
import struct
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

# What begins a slot: a mark, the row, the checksum, and a digest of the row's signature.
_HEADER = struct.Struct("<8sqq32s")
_MARK = b"raybatch"
_SLOT_ALIGNMENT = 64


class RowStore:
    """A file of slots of one size, each for one row, or for none.

        slot: mark, row, CRC-32, signature │ the row's bytes │ padding

    A slot is written in one call, and counts if its checksum, over its row, signature and bytes, is right where it
    is read. So neither locks nor an order of writes are needed: what a process left half written when it was
    killed, what the host had not yet put on its disk when it failed, what two wrote at once and what is damaged
    all are rows that are not there.

    Of `rows` rows of `row_bytes` bytes, as many have a slot as fit into `max_bytes`, spread evenly. The file is
    sparse until it is full. Nothing is mapped: a file that shrinks, or a disk that is full, is an error and no
    signal.
    """

    def __init__(self, path: str, rows: int, row_bytes: int, max_bytes: int) -> None:
        slot = _HEADER.size + row_bytes
        self._slot_bytes = -(-slot // _SLOT_ALIGNMENT) * _SLOT_ALIGNMENT
        self._rows = rows
        self.capacity = min(rows, max_bytes // self._slot_bytes)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._close: Callable[[], Any] = weakref.finalize(self, os.close, self._file)
        if os.fstat(self._file).st_size > self.capacity * self._slot_bytes:
            os.ftruncate(self._file, self.capacity * self._slot_bytes)  # it had a larger limit

    def read(self, row: int, signature: tuple[int, ...], out: npt.NDArray[Any]) -> bool:
        """Read a row into `out`, contiguous, and return whether it is there, whole, and of that signature.

        If not, what is in `out` then is of no use. OSError if the file cannot be read.
        """
        place = self._place(row)
        if place is None:
            return False
        header, data = bytearray(_HEADER.size), _bytes_of(out)
        if os.preadv(self._file, [header, data], place) != _HEADER.size + len(data):
            return False
        return bytes(header) == _header(row, signature, data)

    def write(self, row: int, signature: tuple[int, ...], values: npt.NDArray[Any]) -> None:
        """Write a row, contiguous, if there is a place for it; OSError if the file or its disk takes no more."""
        place = self._place(row)
        if place is None:
            return
        data = _bytes_of(values)
        header = _header(row, signature, data)
        written = os.pwritev(self._file, [header, data], place)
        if written != len(header) + len(data):
            raise OSError(f"only {written} bytes of a row were written: the disk may be full")

    def _place(self, row: int) -> int | None:
        slot = row * self.capacity // self._rows
        if (row + 1) * self.capacity // self._rows == slot:
            return None
        return slot * self._slot_bytes


def _bytes_of(array: npt.NDArray[Any]) -> Any:
    return array.reshape(-1).view(np.uint8).data


def _header(row: int, signature: tuple[int, ...], data: Any) -> bytes:
    digest = hashlib.blake2b(repr((row, *signature)).encode(), digest_size=32).digest()
    return _HEADER.pack(_MARK, row, zlib.crc32(data, zlib.crc32(digest)), digest)
