"""The place of a file or folder: on this machine, in an object store, or behind any other URL."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import IO, Any, TypeVar

import pyarrow.compute as pc

from raybatch.errors import StorageError
from raybatch.notices import tell
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.kept_files import KeptFiles
from raybatch.stores.local_files import FileVersion
from raybatch.stores.paths import as_path_array, path_names
from raybatch.stores.range_file import RangeFile
from raybatch.stores.roots import check_folders, common_folder
from raybatch.stores.secrets import (
    described,
    hold_credentials,
    identity,
    redacted,
    without_secrets,
)
from raybatch.stores.url_files import (
    UrlFiles,
    check_urls,
    is_quoted,
    is_url,
    open_store,
    split_url,
)

T = TypeVar("T")

# How much is read at once to find headers, locally and remotely. A request takes about as long as
# reading the larger amount.
_SCANNED_BYTES, _SCANNED_REMOTE_BYTES = 2**13, 2**22

# How many paths are converted at once; a list of all would take far more memory than the array.
_PATHS_AT_ONCE = 10_000


class Location:
    """A file or folder: a local path, a URL or a path in `filesystem`; its text hides secrets."""

    __slots__ = ("_store", "path")

    def __init__(self, path: str | os.PathLike[str], filesystem: Any = None) -> None:
        self.path = os.fsdecode(path)
        self._store = open_store(filesystem)

    def __str__(self) -> str:
        return redacted(self.path)

    def __repr__(self) -> str:
        return repr(str(self))

    @property
    def is_quoted(self) -> bool:
        """Whether the path is percent-decoded before it is used."""
        return isinstance(self._store, UrlFiles) and is_quoted(self.path)

    def split_query(self) -> tuple[str, str]:
        """Return the path and, if it is a URL, the rest after the path, as `split_url` does."""
        if not (isinstance(self._store, UrlFiles) and is_url(self.path)):
            return self.path, ""
        return split_url(self.path)

    def name_below(self, root: Location) -> str:
        """Return its name relative to the folder `root`, without a query, which can be a secret."""
        return self.split_query()[0][len(root.split_query()[0]) :].lstrip("/")

    def version(self) -> FileVersion:
        """Return the current version of the file."""
        return self._store.version(self.path)

    def open(self) -> IO[bytes]:
        """Return the file, open or in memory.

        OSError if it cannot be read; remote reads are retried.
        """
        return self._store.open(self.path)

    def below(self, depth: int | None = None, *, hidden: bool = False) -> Iterator[list[str]]:
        """Iterate over runs of the names of all files below it, as `LocalFiles.below` does."""
        return self._store.below(self.path, depth, hidden=hidden)

    def folders(self) -> list[str]:
        """Return the names of the folders in it, as `LocalFiles.folders` does."""
        return self._store.folders(self.path)

    def join(self, names: list[str]) -> list[str]:
        """Return the paths or URLs of `names` below it."""
        return self._store.join(self.path, names)

    def hide(self, text: str) -> str:
        """Return `text` without the credentials in the path and in any URL."""
        return without_secrets(text, self.path)


class Locations:
    """The paths of many files in one Arrow array, which Ray actors map from the object store.

    A Python list of a million paths takes 120 MB in every process; the mapped array takes nothing.
    A relative path stays relative to `folder`, by default the working directory in which this
    object was made, even in actors with a different one. With `filesystem`, all paths are paths in
    it. A URL stays unchanged.
    """

    def __init__(
        self,
        paths: Any,
        folder: str | None = None,
        *,
        filesystem: Any = None,
        cache: DiskCache | None = None,
    ) -> None:
        self.array = as_path_array(paths)
        self._filesystem = filesystem
        self._store = open_store(filesystem)
        self._are_urls = isinstance(self._store, UrlFiles)
        # `open_to_seek` does without the cache: it reads a shard only once, for its headers.
        self._files = self._store if cache is None else KeptFiles(self._store, cache, filesystem)
        if cache is not None and self.are_local:
            tell("cache= has no effect here: the files are on this machine")
        if folder is None:
            folder = os.getcwd() if self._are_urls else ""
        self._folder = folder

    def check_can_open(self) -> None:
        """Raise ImportError or ValueError if a path is a URL that nothing here can open."""
        if self._are_urls:
            check_urls(self.array)

    @property
    def are_local(self) -> bool:
        """Whether all paths are plain local paths; a `file:` URL is not one."""
        return self._are_urls and not pc.any(pc.match_substring(self.array, "://")).as_py()

    def open(self, position: int) -> IO[bytes]:
        """Return the file at `position`, as `Location.open` does.

        StorageError if the folder of all files is gone.
        """
        return self._ask(self._files.open, position)

    @cached_property
    def _root(self) -> str:
        return common_folder(self.array, self._folder)

    def name_of(self, position: int) -> str:
        """Return the path at `position` without credentials."""
        return redacted(self[position])

    def signature(self, position: int) -> tuple[int, ...]:
        """Return `LocalFiles.signature` of a local file, () for any other."""
        # A request for the signature would cost about as much as reading the file.
        if not isinstance(self._store, UrlFiles):
            return ()
        return self._ask(self._store.signature, position)

    def version(self, position: int) -> FileVersion:
        """Return the current version of the file at `position`."""
        return self._ask(self._store.version, position)

    def read_range(self, position: int, version: FileVersion, offset: int, length: int) -> bytes:
        """Return a part of the file at `position`, as `LocalFiles.read_range` does."""
        return self._files.read_range(self[position], version, offset, length)

    def open_to_seek(self, position: int, version: FileVersion) -> IO[bytes]:
        """Return the file at `position`, of `version`; each read fetches more than is asked for."""
        if version.size < 0:
            raise StorageError("the server does not report the size of the file")
        read = partial(self._store.read_range, self[position], version)
        at_once = _SCANNED_BYTES if self.are_local else _SCANNED_REMOTE_BYTES
        return io.BufferedReader(RangeFile(read, version.size), at_once)

    def open_parts(self, position: int, version: FileVersion) -> RangeFile:
        """Return the file at `position`, of `version`; each read fetches exactly its own part."""
        if version.size < 0:
            raise StorageError("the server does not report the size of the file")
        return RangeFile(partial(self.read_range, position, version), version.size)

    def _ask(self, ask: Callable[[str], T], position: int) -> T:
        path = self[position]
        try:
            return ask(path)
        except OSError as error:
            if self._are_urls and not is_url(path):
                check_folders(path, self._root, error)
            raise

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, position: int) -> str:
        path = os.fsdecode(self.array[position].as_py())
        return path if is_url(path) else os.path.join(self._folder, path)

    def fingerprint(self) -> dict[str, Any]:
        """Return a digest of the store and of the paths in order.

        It does without the credentials in URLs and of the store, which change.
        """
        are_absolute = pc.or_(
            pc.starts_with(self.array, "/"), pc.match_substring(self.array, "://")
        )
        folder = "" if pc.all(are_absolute).as_py() else self._folder
        digest = hashlib.sha256(os.fsencode(folder))
        if not self._are_urls:
            digest.update(repr(described(self._filesystem)).encode())
        has_secrets = hold_credentials(self.array)
        for start in range(0, len(self), _PATHS_AT_ONCE):
            names = path_names(self.array.slice(start, _PATHS_AT_ONCE))
            if has_secrets:
                names = [identity(name) for name in names]
            digest.update(os.fsencode("\0".join([*names, ""])))
        return {"paths": digest.hexdigest()[:32]}
