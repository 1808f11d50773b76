"""A cache of encoded bytes on the disk of a host."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import Any, NamedTuple

from raybatch.checks import positive_int
from raybatch.notices import tell
from raybatch.stores.local_files import FileVersion
from raybatch.stores.local_path import local_path

# What is before the bytes: a mark, their checksum and length, and the digest of their version.
_HEADER = struct.Struct("<8sIQ16s")
_MARK = b"rbcache1"

# The entries lie in as many folders, by the first byte of their names.
_FOLDERS = 256
_SIZES = "sizes.bin"
# What is removed from a folder at once, as a part of what lies there; how many entries are looked at for one new one.
_FREED_PART, _MOST_LOOKED_AT = 8, 1000
# The system reads and writes no more at once.
_MOST_BYTES = 2**30
# A use is written down again after this long.
_USE_NS = 60 * 10**9


_UNKNOWN = FileVersion(0, "")


class Entry(NamedTuple):
    """What is kept under a key: the bytes, the digest of their version, and when that was last compared (ns)."""

    data: bytes
    version: bytes
    compared_ns: int


class DiskCache:
    """Encoded bytes from other machines, kept in `directory` on the disk of each host, at most `max_bytes` of them.

    Give it to an accessor of remote files or to shards, `cache=DiskCache("/data/cache", 200 * 10**9)`. All actors and programs
    of a host share what is kept under one directory; other hosts make a directory of their own under that path.

    What has changed at its place is read again. The version of a file, its ETag or else its size and time, is compared once on each
    host after this object was made, when the file is first read. Shards are compared when `TarShards` opens them.

    When it is full, what was not used for the longest time makes place, but nothing that was used since this object was made: of data
    that do not fit, a part stays, and is found in every epoch. Remove the directory to clear the cache, at any time.

    A disk that is full or fails is told once, and is no error: the bytes are then read from where they lie.

    ValueError if `max_bytes` is not above 0 or `directory` is a URL, TypeError if `max_bytes` is no int, OSError for a directory that
    cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str], max_bytes: int) -> None:
        self._max_bytes = positive_int("max_bytes", max_bytes)
        self._folder = local_path(directory).absolute()
        self._since_ns = time.time_ns()
        with self._sizes():
            pass  # it can be written
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_max_bytes", "_folder", "_since_ns")
        return {name: self.__dict__[name] for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._adds = True
        self._searched = os.getpid() % _FOLDERS  # the folder where place is made next
        self._in_vain = 0  # how many folders in a row had nothing to remove

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._folder)!r}, {self._max_bytes})"

    def get(self, key: str, make: Callable[[], bytes], version: FileVersion = _UNKNOWN) -> bytes:
        """Return the bytes that are kept under `key`, of this `version`, or else those that `make()` returns, and keep them."""
        wanted = _digest(version)
        path = self._path(key)
        entry = self._entry(path)
        if entry is not None and entry.version == wanted:
            return entry.data
        data = make()
        self._keep(path, data, wanted, time.time_ns())
        return data

    def get_newest(
        self,
        key: str,
        version_of: Callable[[], FileVersion],
        read: Callable[[], tuple[FileVersion, bytes]],
    ) -> bytes:
        """Return the bytes under `key` of the version that there is now, from here or by `read()`, the version and the bytes.

        What is kept is compared with `version_of()` once after this object was made. A version without a stamp is equal to no other.
        """
        path = self._path(key)
        entry = self._entry(path)
        now_ns = time.time_ns()
        if entry is not None:
            if entry.compared_ns >= self._since_ns:
                return entry.data
            version = version_of()
            if version.stamp and entry.version == _digest(version):
                with suppress(OSError):
                    os.utime(path, ns=(now_ns, now_ns))
                return entry.data
        version, data = read()
        self._keep(path, data, _digest(version), now_ns)
        return data

    def _path(self, key: str) -> str:
        # A key may hold a secret, as the query of a URL.
        name = hashlib.blake2b(os.fsencode(key), digest_size=20).hexdigest()
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def _entry(self, path: str) -> Entry | None:
        """Return what is kept at `path`, None if it is not there or not whole."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(file)
            header, data = os.read(file, _HEADER.size), os.read(file, status.st_size)
            now_ns = time.time_ns()
            # The times are those of this cache, and not of the system, which may not note when files are read.
            if status.st_atime_ns < max(self._since_ns, now_ns - _USE_NS):
                with suppress(OSError):
                    os.utime(file, ns=(now_ns, status.st_mtime_ns))
        except OSError:
            return None
        finally:
            os.close(file)
        if len(header) < _HEADER.size:
            return None
        mark, checksum, length, version = _HEADER.unpack(header)
        if mark != _MARK or length != len(data) or zlib.crc32(data) != checksum:
            return None
        return Entry(data, version, status.st_mtime_ns)

    def _keep(self, path: str, data: bytes, version: bytes, compared_ns: int) -> None:
        """Keep `data` at `path` if there is a place for it, and the disk takes it."""
        size = _HEADER.size + len(data)
        if not self._adds or size > min(self._max_bytes, _MOST_BYTES):
            return
        header = _HEADER.pack(_MARK, zlib.crc32(data), len(data), version)
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.{os.getpid()}.{threading.get_ident()}.{name}"
        try:
            os.makedirs(folder, exist_ok=True)
            file = self._begun(aside, size)
            if file is None:
                return
            with file:
                if file.write(header) + file.write(data) != size:
                    raise OSError(f"only a part of {size} bytes was written: the disk may be full")
                os.utime(file.fileno(), ns=(time.time_ns(), compared_ns))
            os.rename(aside, path)
        except FileNotFoundError:
            return  # the directory was removed, and is made again the next time
        except OSError as error:
            with suppress(OSError):
                os.unlink(aside)
            self._adds = False
            tell(f"nothing more is added to the cache in {str(self._folder)!r}: {error}")

    def _begun(self, aside: str, size: int) -> FileIO | None:
        """Return the new file `aside`, or None if there is no place for `size` bytes; others may have to go for that.

        It has its length from the start, so whoever counts what lies in the folder counts it.
        """
        with self._sizes() as sizes:
            if sum(sizes) + size > self._max_bytes:
                self._make_place(sizes, size)
            if sum(sizes) + size > self._max_bytes:
                return None
            file = FileIO(aside, "w")
            file.truncate(size)
            sizes[int(aside.split("/")[-2], 16)] += size
            return file

    def _make_place(self, sizes: array[int], size: int) -> None:
        """Remove `size` bytes or more, if as many were not used since this object was made, and are soon found."""
        freed = looked_at = 0
        # What is used from now on is never removed, so where all folders were searched in vain there will be nothing either.
        while freed < size and looked_at < _MOST_LOOKED_AT and self._in_vain < _FOLDERS:
            number = self._searched
            self._searched = (number + 1) % _FOLDERS
            found = sorted(_files(f"{self._folder}/{number:02x}"))
            looked_at += len(found)
            there = sum(own for _, own, _ in found)
            removed = 0
            for used_ns, own, path in found:
                if used_ns >= self._since_ns or removed >= max(size, there // _FREED_PART):
                    break
                os.unlink(path)
                removed += own
            sizes[number] = there - removed
            self._in_vain = 0 if removed else self._in_vain + 1
            freed += removed

    @contextmanager
    def _sizes(self) -> Iterator[array[int]]:
        """Give how many bytes lie in each folder, to this process alone, and write down what it makes of them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # Opened each time: threads, forks and other programs have a lock each, and it ends with whoever is killed.
        file = os.open(self._folder / _SIZES, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            length = 8 * _FOLDERS
            before = os.pread(file, length, 0).ljust(length, b"\0")
            sizes = array("q", before)
            yield sizes
            if sizes.tobytes() != before:
                os.pwrite(file, sizes, 0)
        finally:
            os.close(file)


def _files(folder: str) -> Iterator[tuple[int, int, str]]:
    """Iterate over when (ns) each file in `folder` was used last, its size in bytes and its path.

    Among them is what others are writing, which is new, and what they left when they were killed, which grows old.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another has removed or renamed it
                    status = entry.stat()
                    yield status.st_atime_ns, status.st_size, entry.path
    except FileNotFoundError:
        return


def _digest(version: FileVersion) -> bytes:
    return hashlib.blake2b(repr(version).encode(), digest_size=16).digest()
