"""A cache of encoded bytes on the disk of each host."""

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
from raybatch.stores.cache_counts import CacheCounts, CacheStats
from raybatch.stores.local_files import FileVersion
from raybatch.stores.local_path import local_path

# The header of an entry: a mark, the checksum and length of the bytes, the digest of their version.
_HEADER = struct.Struct("<8sIQ16s")
_MARK = b"rbcache1"

# The number of folders of entries; the first byte of an entry's name chooses its folder.
_FOLDERS = 256
_SIZES = "sizes.bin"
# A search removes one eighth of a folder at once, and examines about 1,000 entries at most.
_FREED_PART, _MOST_LOOKED_AT = 8, 1000
# No entry is larger than this, so that the system reads or writes it in one call.
_MOST_BYTES = 2**30
# A use of an entry updates its recorded time of use only if that time is older than this, or than
# the `DiskCache`.
_USE_NS = 60 * 10**9


_UNKNOWN = FileVersion(0, "")


class Entry(NamedTuple):
    """A cached entry: its bytes, the digest of their version, and when it was last checked (ns)."""

    data: bytes
    version: bytes
    compared_ns: int


class DiskCache:
    """Encoded bytes of remote files, kept in `directory` on the disk of each host.

    Pass it to an accessor of remote files or to shards, `cache=DiskCache("/data/cache", 200 *
    10**9)`. It holds at most `max_bytes` bytes. All actors and programs of a host share the cache
    in a directory; each host has its own directory at that path.

    A file that has changed in its store is read again. Each host compares the version of a file,
    its ETag or else its size and time, once after this object was made, at the first read of the
    file. `TarShards` compares shards when it opens them.

    A full cache removes the least recently used entries, but none that was used since this object
    was made. So if the data do not fit, every epoch finds the same part of them. To clear the
    cache, remove the directory; you can do this at any time.

    If the disk is full or fails, one log line says so, and the bytes are read from the store.

    ValueError if `max_bytes` is not above 0 or `directory` is a URL, TypeError if `max_bytes` is
    not an int, OSError for a directory that cannot be written.
    """

    def __init__(self, directory: str | os.PathLike[str], max_bytes: int) -> None:
        self._max_bytes = positive_int("max_bytes", max_bytes)
        self._folder = local_path(directory).absolute()
        self._since_ns = time.time_ns()
        with self._sizes():
            pass  # check that it can be written
        self._counts = CacheCounts()
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_max_bytes", "_folder", "_since_ns", "_counts")
        return {name: self.__dict__[name] for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._adds = True
        # The folder that is searched next for entries to remove.
        self._searched = os.getpid() % _FOLDERS
        self._in_vain = 0  # how many folders in a row had nothing to remove

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._folder)!r}, {self._max_bytes})"

    def stats(self) -> CacheStats:
        """Return how many reads so far found their bytes in the cache, and how many did not.

        They include those of all copies of this object in this process, and of the actors that make
        batches for it, as of the last batch that arrived from each.
        """
        return self._counts.stats()

    def get(self, key: str, make: Callable[[], bytes], version: FileVersion = _UNKNOWN) -> bytes:
        """Return the cached bytes of `key` and `version`, or call `make()` and cache its result."""
        wanted = _digest(version)
        path = self._path(key)
        entry = self._entry(path)
        if entry is not None and entry.version == wanted:
            return self._hit(entry)
        self._counts.add(0, 1)
        data = make()
        self._keep(path, data, wanted, time.time_ns())
        return data

    def get_newest(
        self,
        key: str,
        version_of: Callable[[], FileVersion],
        read: Callable[[], tuple[FileVersion, bytes]],
    ) -> bytes:
        """Return the current bytes of `key`, from the cache or from `read()`.

        `version_of()` returns the current version in the store. A cached version is compared with
        it once after this object was made. A version without a stamp counts as changed.
        """
        path = self._path(key)
        entry = self._entry(path)
        now_ns = time.time_ns()
        if entry is not None:
            if entry.compared_ns >= self._since_ns:
                return self._hit(entry)
            version = version_of()
            if version.stamp and entry.version == _digest(version):
                with suppress(OSError):
                    os.utime(path, ns=(now_ns, now_ns))
                return self._hit(entry)
        self._counts.add(0, 1)
        version, data = read()
        self._keep(path, data, _digest(version), now_ns)
        return data

    def _hit(self, entry: Entry) -> bytes:
        self._counts.add(1, 0)
        return entry.data

    def _path(self, key: str) -> str:
        # A key can hold a secret, such as the query of a URL.
        name = hashlib.blake2b(os.fsencode(key), digest_size=20).hexdigest()
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def _entry(self, path: str) -> Entry | None:
        """Return the entry at `path`, None if it is missing or damaged."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(file)
            header, data = os.read(file, _HEADER.size), os.read(file, status.st_size)
            now_ns = time.time_ns()
            # The cache sets the times itself, because the system does not always record when files
            # are read.
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
        """Keep `data` at `path` if the cache has room and the disk takes it."""
        size = _HEADER.size + len(data)
        if not self._adds or size > min(self._max_bytes, _MOST_BYTES):
            return
        header = _HEADER.pack(_MARK, zlib.crc32(data), len(data), version)
        folder, _, name = path.rpartition("/")
        aside = f"{folder}/.{os.getpid()}.{threading.get_ident()}.{name}"
        try:
            file = self._begun(aside, size)
            if file is None:
                return
            with file:
                if os.writev(file.fileno(), [header, data]) != size:
                    raise OSError(f"only a part of {size} bytes was written: the disk may be full")
                os.utime(file.fileno(), ns=(time.time_ns(), compared_ns))
            os.rename(aside, path)
        except OSError as error:
            if _is_of_removal(error):
                return  # the next write makes the directory again
            with suppress(OSError):
                os.unlink(aside)
            self._adds = False
            tell(f"nothing more is added to the cache in {str(self._folder)!r}: {error}")

    def _begun(self, aside: str, size: int) -> FileIO | None:
        """Create the file `aside` with `size` bytes; return None if there is no room for it.

        This can remove older entries. The file has its full length from the start, so that other
        processes count it when they measure the folder.
        """
        with self._sizes() as sizes:
            if (excess := sum(sizes) + size - self._max_bytes) > 0:
                self._make_place(sizes, excess)
                if sum(sizes) + size > self._max_bytes:
                    return None
            file = FileIO(_opened(aside, os.O_WRONLY), "w")
            file.truncate(size)
            sizes[int(aside.split("/")[-2], 16)] += size
            return file

    def _make_place(self, sizes: array[int], size: int) -> None:
        """Remove `size` bytes or more of entries that were not used since this object was made.

        It can free less, because the search ends after a limited number of entries.
        """
        freed = looked_at = 0
        # An entry that was used since this object was made is never removed. So if all folders were
        # searched in vain, a later search would find nothing either.
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
        """Yield the sizes of all folders in bytes, under a lock; then save the caller's changes."""
        # Open the file each time: threads, forks and other programs then each have a lock of their
        # own, and a lock ends with the process that holds it.
        file = _opened(f"{self._folder}/{_SIZES}", os.O_RDWR)
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


def _opened(path: str, flags: int) -> int:
    """Open the file `path`; create it and its directory if they are missing."""
    flags |= os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)


def _files(folder: str) -> Iterator[tuple[int, int, str]]:
    """Iterate over the files in `folder`: the last use (ns), size in bytes and path of each.

    This includes files that others are still writing, which are new, and files that a killed
    process left, which grow old.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process has removed or renamed it
                    status = entry.stat()
                    yield status.st_atime_ns, status.st_size, entry.path
    except FileNotFoundError:
        return


def _is_of_removal(error: OSError) -> bool:
    """Return whether `error` arose because the directory was removed meanwhile."""
    if isinstance(error, FileExistsError):
        # `makedirs` raises it too if a directory that it found is gone when it looks again.
        there = error.filename
        return not os.path.exists(there) or os.path.isdir(there)
    return isinstance(error, FileNotFoundError)


def _digest(version: FileVersion) -> bytes:
    return hashlib.blake2b(repr(version).encode(), digest_size=16).digest()
