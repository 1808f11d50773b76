"""A file of which any part can be asked for, as one to seek in."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO


class RangeFile(io.RawIOBase):
    """The file of `size` bytes of which `read(offset, length)` gives a part."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = starts[whence] + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._size - self._position))
        data = self._read(self._position, length) if length else b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def range_file(read: Callable[[int, int], bytes], size: int, at_once: int) -> IO[bytes]:
    """Return such a file, of which `at_once` bytes are read at a time."""
    return io.BufferedReader(RangeFile(read, size), at_once)
