"""Files on other machines: transient errors are retried, and no error shows credentials."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

from raybatch.errors import StorageError
from raybatch.retries import Retries
from raybatch.stores.hidden import is_hidden
from raybatch.stores.local_files import FileVersion
from raybatch.stores.secrets import call_without_secrets, redacted

T = TypeVar("T")


class RemoteFiles:
    """The files of a remote file system.

    Subclasses implement the methods that raise NotImplementedError here.
    """

    def __init__(self, filesystem: Any, retries: Retries | None = None) -> None:
        self.filesystem = filesystem
        self._retries = retries or Retries()

    def open(self, path: str) -> IO[bytes]:
        """Return the whole file in memory; OSError if it cannot be read, after some retries."""
        return io.BytesIO(self._call(self._read, path))

    def version(self, path: str) -> FileVersion:
        """Return the size of a file, and its time or its tag in the store."""
        return self._call(self._version, path)

    def read_versioned(self, path: str) -> tuple[FileVersion, bytes]:
        """Return the version and the bytes of a file; the version is no newer than the bytes."""
        return self._call(lambda one: (self._version(one), self._read(one)), path)

    def read_range(self, path: str, version: FileVersion, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file from `offset` on, in one request.

        StorageError if the server returns fewer or more than a file of `version` has there.
        """
        end = min(offset + length, version.size)
        data = self._call(lambda one: self._read(one, offset, end), path)
        if len(data) != end - offset:
            raise StorageError(
                f"{redacted(path)!r} returned {len(data)} bytes instead of {end - offset}: the"
                " server does not answer requests for a part of a file, or the file has changed"
                " since it was first opened"
            )
        return data

    def below(
        self, root: str, depth: int | None = None, *, hidden: bool = False
    ) -> Iterator[list[str]]:
        """Iterate over runs of the names of all files below `root`, as `LocalFiles.below` does."""
        names = self._call(lambda one: self._names(one, depth), root)
        if depth is not None:
            names = [name for name in names if name.count("/") < depth]
        yield sorted(name for name in names if hidden or not is_hidden(name))

    def folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`, as `LocalFiles.folders` does."""
        return sorted(name for name in self._call(self._folders, root) if not is_hidden(name))

    def join(self, root: str, names: list[str]) -> list[str]:
        """Return the paths of `names` below `root`."""
        prefix = root.rstrip("/") + "/" if root else ""
        return [prefix + name for name in names]

    def _call(self, fn: Callable[[str], T], path: str) -> T:
        return call_without_secrets(lambda: self._retries.call(fn, path), path)

    def _read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes of a file from `start` up to `end`, by default all."""
        raise NotImplementedError

    def _version(self, path: str) -> FileVersion:
        """Return the current version of a file."""
        raise NotImplementedError

    def _names(self, root: str, depth: int | None) -> list[str]:
        """Return the names of all files below `root`, relative to it; may return deeper ones."""
        raise NotImplementedError

    def _folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`."""
        raise NotImplementedError
