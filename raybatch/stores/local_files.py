"""The files of this machine and of mounted file systems."""

from __future__ import annotations

import io
import os
import stat
import weakref
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import IO, NamedTuple

from raybatch.errors import StorageError
from raybatch.retries import Retries
from raybatch.stores.absent import check_is_folder
from raybatch.stores.hidden import is_hidden

# Larger files are not read into memory: decoders read only the parts that they need.
_LARGE_BYTES = 2**26
# A process can often open no more than 1,024 files.
_MOST_OPEN = 256


class FileVersion(NamedTuple):
    """The version of a file: its size in bytes, and its time of change or the store's tag."""

    size: int
    stamp: str


class LocalFiles:
    """The regular files of this machine; transient errors of mounted file systems are retried."""

    def __init__(self, retries: Retries | None = None) -> None:
        self._retries = retries or Retries()

    def open(self, path: str) -> IO[bytes]:
        """Return the open file, in memory unless it is large.

        OSError if it is not a regular file, or cannot be opened or read.
        """
        return self._retries.call(self._open, path)

    def _open(self, path: str) -> IO[bytes]:
        status = os.stat(path)
        # Opening a pipe would wait for a writer, and opening a device can have any effect.
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        if status.st_size > _LARGE_BYTES:
            return open(path, "rb")
        # Pillow reads a JPEG's header in some forty calls of a few bytes each, which are fast in
        # memory.
        with open(path, "rb", buffering=0) as file:
            return io.BytesIO(file.readall())

    def signature(self, path: str) -> tuple[int, ...]:
        """Return when the file and its status last changed (ns), its size and its inode."""
        status = self._retries.call(os.stat, path)
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def version(self, path: str) -> FileVersion:
        """Return the size of a file and the time of its last change."""
        status = self._retries.call(os.stat, path)
        # Opening a pipe would wait for a writer.
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"not a regular file: {path!r}")
        return _version_of(status)

    def read_range(self, path: str, version: FileVersion, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset` on; StorageError unless the file has `version`.

        The file stays open in this process for the next read.
        """
        return self._retries.call(_read_open, path, version, offset, length)

    def below(
        self, root: str, depth: int | None = None, *, hidden: bool = False
    ) -> Iterator[list[str]]:
        """Iterate over runs of the sorted names of all files below `root`, relative to it.

        Folder entries tell files from folders, so no file is examined. Links are followed, and each
        folder is read once. `depth=1` leaves out the folders in `root`, and so on. Hidden files are
        included only with `hidden`. FileNotFoundError if there is no `root`, NotADirectoryError if
        it is a file.
        """
        return _walk(_existing(root), "", depth, hidden, set(), self._retries)

    def folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`, sorted, without hidden ones.

        FileNotFoundError if there is no `root`, NotADirectoryError if it is a file.
        """
        _, names = self._retries.call(partial(_listed, hidden=False), _existing(root))
        return sorted(name[:-1] for name in names if name[-1] == "/")

    def join(self, root: str, names: list[str]) -> list[str]:
        """Return the paths of `names` below `root`."""
        prefix = os.path.join(root, "") if root else ""
        return [prefix + name for name in names]


def _version_of(status: os.stat_result) -> FileVersion:
    return FileVersion(status.st_size, str(status.st_mtime_ns))


def _read_open(path: str, version: FileVersion, offset: int, length: int) -> bytes:
    # Two threads can open one file at once. The descriptor that the cache does not keep is closed
    # when this function returns.
    file = _opened(path, version)
    data = os.pread(file.descriptor, length, offset)
    if _version_of(os.fstat(file.descriptor)) != version:
        raise StorageError(f"{path!r} has changed since it was first opened: make a new accessor")
    return data


class _OpenFile:
    """A file descriptor that is closed when the last reference to this object goes.

    Every read states its offset, so threads and forked processes can share the descriptor.
    """

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)


@lru_cache(_MOST_OPEN)
def _opened(path: str, version: FileVersion) -> _OpenFile:
    return _OpenFile(path)


def _existing(root: str) -> str:
    """Return `root` with a slash at its end; the errors of `check_is_folder`."""
    check_is_folder(root)
    return os.path.join(root or os.curdir, "")


def _walk(
    root: str,
    folder: str,
    depth: int | None,
    hidden: bool,
    seen: set[tuple[int, int]],
    retries: Retries,
) -> Iterator[list[str]]:
    place, names = retries.call(partial(_listed, hidden=hidden), root + folder)
    if place in seen:
        return
    seen.add(place)
    run: list[str] = []
    for name in names:
        if name[-1] != "/":
            run.append(folder + name)
        elif depth is None or depth > 1:
            yield run
            run = []
            deeper = None if depth is None else depth - 1
            yield from _walk(root, folder + name, deeper, hidden, seen, retries)
    yield run


def _listed(folder: str, *, hidden: bool) -> tuple[tuple[int, int], list[str]]:
    """Return the identity of `folder`, and the names in it in order; folders end in a slash.

    Hidden names are included only with `hidden`.
    """
    status = os.stat(folder)
    with os.scandir(folder) as entries:
        # With its slash, a folder sorts as the paths below it do: after `a-b`, before `ab`.
        names = sorted(
            entry.name + "/" if entry.is_dir() else entry.name
            for entry in entries
            if hidden or not is_hidden(entry.name)
        )
    return (status.st_dev, status.st_ino), names
