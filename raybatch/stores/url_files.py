"""Chooses the store that opens a path, a URL, or a path in a file system."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import lru_cache, partial
from types import ModuleType
from typing import IO, Any, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs

from raybatch.errors import StorageError
from raybatch.retries import Retries
from raybatch.stores.local_files import FileVersion, LocalFiles
from raybatch.stores.range_file import RangeFile
from raybatch.stores.remote import RemoteFiles
from raybatch.stores.secrets import (
    call_without_secrets,
    redacted,
)

T = TypeVar("T")

# The schemes that Arrow opens; fsspec opens all others.
_ARROW_SCHEMES = ("s3", "gs", "gcs", "hdfs", "viewfs")

# The number of open files that one process keeps for one store.
_MOST_OPEN = 256

# How much of an archive on a server is read at once: a member's header and most of its bytes.
_ARCHIVE_BYTES = 2**17

Store: TypeAlias = "UrlFiles | RemoteFiles"


def open_store(filesystem: Any = None) -> Store:
    """Return the store that opens paths in `filesystem`, or local paths and URLs if it is None.

    `filesystem` is one of pyarrow or fsspec; TypeError for anything else.
    """
    if filesystem is None or isinstance(filesystem, pa.fs.LocalFileSystem):
        return UrlFiles()
    if isinstance(filesystem, pa.fs.FileSystem):
        return ArrowFiles(filesystem)
    if hasattr(filesystem, "cat_file"):
        files: RemoteFiles = _fsspec_files().FsspecFiles(filesystem)
        return files
    raise TypeError(
        f"filesystem must be one of pyarrow.fs or fsspec, or None, not a {type(filesystem)}"
    )


class ArrowFiles(RemoteFiles):
    """The files of a `pyarrow.fs.FileSystem`."""

    def __init__(self, filesystem: Any, retries: Retries | None = None) -> None:
        super().__init__(filesystem, retries)
        self._is_s3 = filesystem.type_name == "s3"
        # Opening a file is a request for its size, so open files are kept.
        self._opened = lru_cache(_MOST_OPEN)(filesystem.open_input_file)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrowFiles, (self.filesystem, self._retries)

    def read_versioned(self, path: str) -> tuple[FileVersion, bytes]:
        """Return the version and the bytes of a file.

        On S3 this takes no more requests than the bytes alone.
        """

        def read(path: str) -> tuple[FileVersion, bytes]:
            with self._stream(path) as stream:
                return _tagged(stream), stream.read()

        return self._call(read, path) if self._is_s3 else super().read_versioned(path)

    def read_range(self, path: str, version: FileVersion, offset: int, length: int) -> bytes:
        """Return a part of the file, as `RemoteFiles.read_range` does.

        On S3, StorageError if the file had a different version when this process first opened it.
        """
        if self._is_s3:  # the request that opens the file returns its tag
            found = self._call(lambda one: _tagged(self._opened(one)), path)
            if found != version:
                raise StorageError(
                    f"{redacted(path)!r} has changed since it was first opened: make a new accessor"
                )
        return super().read_range(path, version, offset, length)

    def _version(self, path: str) -> FileVersion:
        if self._is_s3:
            # S3 gives times in whole seconds; only the tag tells two writes within a second apart.
            with self._stream(path) as stream:
                return _tagged(stream)
        info = self.filesystem.get_file_info(path)
        if info.type != pa.fs.FileType.File:
            raise FileNotFoundError(f"no such file: {path!r}")
        return FileVersion(info.size, str(info.mtime_ns))

    def _read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None:
            part: bytes = self._opened(path).read_at(end - start, start)
            return part
        with self._stream(path) as stream:
            data: bytes = stream.read()
        return data

    def _stream(self, path: str) -> Any:
        try:
            return self.filesystem.open_input_stream(path)
        except FileNotFoundError:
            bucket = path.strip("/").partition("/")[0]
            if not self._is_there(bucket):
                raise StorageError(f"there is no {bucket!r} in this store") from None
            raise

    def _is_there(self, bucket: str) -> bool:
        try:
            found = self.filesystem.get_file_info(bucket).type
        except OSError:
            return True  # a user can have the right to read objects but not to look up buckets
        return bool(found != pa.fs.FileType.NotFound)

    def _names(self, root: str, depth: int | None) -> list[str]:
        selector = pa.fs.FileSelector(root.rstrip("/"), recursive=depth != 1)
        start = len(selector.base_dir) + 1 if selector.base_dir else 0
        infos = self.filesystem.get_file_info(selector)
        return [info.path[start:] for info in infos if info.type == pa.fs.FileType.File]

    def _folders(self, root: str) -> list[str]:
        infos = self.filesystem.get_file_info(pa.fs.FileSelector(root.rstrip("/")))
        return [info.base_name for info in infos if info.type == pa.fs.FileType.Directory]


class UrlFiles:
    """Files whose paths are URLs or local paths.

    A URL is percent-encoded, so the name `50%.jpg` is `50%25.jpg` in it. Each process connects to a
    store when it opens the store's first file.
    """

    def __init__(self, retries: Retries | None = None) -> None:
        self._retries = retries or Retries()
        self._local = LocalFiles(self._retries)
        self._arrow: dict[str, tuple[ArrowFiles, str]] = {}
        self._archives: dict[str, RemoteFiles] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrow": {}, "_archives": {}}

    def open(self, path: str) -> IO[bytes]:
        """Return the file, open or in memory.

        OSError if it cannot be read; remote reads are retried.
        """
        store, own_path = self._store_of(path)
        return store.open(own_path)

    def signature(self, path: str) -> tuple[int, ...]:
        """Return `LocalFiles.signature` of a local file, () for any other."""
        if is_remote(path):
            return ()  # connecting would cost more than the signature saves
        return self._local.signature(_local_path(path))

    def read_versioned(self, path: str) -> tuple[FileVersion, bytes]:
        """Return a remote file's version and bytes, as `RemoteFiles.read_versioned` does."""
        store, own_path = self._remote_of(path)
        return store.read_versioned(own_path)

    def version(self, path: str) -> FileVersion:
        """Return the current version of the file."""
        store, own_path = self._store_of(path)
        return store.version(own_path)

    def read_range(self, path: str, version: FileVersion, offset: int, length: int) -> bytes:
        """Return a part of the file, as `LocalFiles.read_range` does."""
        store, own_path = self._store_of(path)
        return store.read_range(own_path, version, offset, length)

    def _store_of(self, path: str) -> tuple[LocalFiles | RemoteFiles, str]:
        return self._remote_of(path) if is_remote(path) else (self._local, _local_path(path))

    def _remote_of(self, path: str) -> tuple[RemoteFiles, str]:
        if path.partition("://")[0] in _ARROW_SCHEMES:
            return call_without_secrets(lambda: self.locate(path), path)
        name, mark, archive = path.partition("::")
        if mark and archive.partition("://")[0] in _ARROW_SCHEMES:
            return self._archive(name.partition("://")[0], archive), name.partition("://")[2]
        files_of_url = _fsspec_files().files_of_url
        found: tuple[RemoteFiles, str] = call_without_secrets(
            lambda: files_of_url(path, self._retries), path
        )
        return found

    def _archive(self, scheme: str, url: str) -> RemoteFiles:
        """Return the files in the archive at `url`; its directory is read once in each process.

        Arrow reads the archive in parts.
        """
        found = self._archives.get(url)
        if found is None:
            store, path = self._remote_of(url)
            version = store.version(path)
            file = RangeFile(partial(store.read_range, path, version), version.size)
            opened = io.BufferedReader(file, _ARCHIVE_BYTES)
            found = self._archives[url] = _fsspec_files().files_of_archive(
                scheme, opened, self._retries
            )
        return found

    def below(
        self, root: str, depth: int | None = None, *, hidden: bool = False
    ) -> Iterator[list[str]]:
        """Iterate over runs of the names of all files below `root`, not quoted.

        See `LocalFiles.below`.
        """
        store, own_root = self._store_of(root)
        return store.below(own_root, depth, hidden=hidden)

    def folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`, as `LocalFiles.folders` does; not quoted."""
        store, own_root = self._store_of(root)
        return store.folders(own_root)

    def join(self, root: str, names: list[str]) -> list[str]:
        """Return the paths or URLs of `names` below `root`."""
        if not is_url(root):
            return self._local.join(root, names)
        head, suffix = split_url(root)
        prefix = head if head.endswith("://") else head.rstrip("/") + "/"
        if is_quoted(root):
            names = [quote(name) for name in names]
        return [prefix + name + suffix for name in names]

    def locate(self, url: str) -> tuple[ArrowFiles, str]:
        """Return the Arrow file system of `url`, and the path in it."""
        # In a store, `#` is an ordinary character.
        parts = urlsplit(url, allow_fragments=False)
        root = f"{parts.scheme}://{parts.netloc}/" + (f"?{parts.query}" if parts.query else "")
        found = self._arrow.get(root)
        if found is None:
            filesystem, folder = pa.fs.FileSystem.from_uri(root)
            found = self._arrow[root] = ArrowFiles(filesystem, self._retries), folder.rstrip("/")
        store, folder = found
        return store, folder + unquote(parts.path)


def _tagged(stream: Any) -> FileVersion:
    facts = stream.metadata()
    return FileVersion(int(facts["Content-Length"]), facts.get("ETag", b"").decode())


def filesystem_of(url: str) -> tuple[Any, str]:
    """Return the file system of `url`, from pyarrow or fsspec, and the path in it."""
    store, path = UrlFiles()._store_of(url)
    assert isinstance(store, RemoteFiles), "the path is local, not in a store"
    return store.filesystem, path


def is_url(path: str) -> bool:
    """Return whether `path` is a URL; fsspec's chains of URLs with `::` count too."""
    scheme, mark, _ = path.partition("://")
    return bool(mark) and scheme[:1].isalpha() and all(c.isalnum() or c in "+-.:_" for c in scheme)


def _local_path(path: str) -> str:
    """Return a local path, given as a path or a `file:` URL."""
    if not is_url(path):
        return path
    return unquote(path.removeprefix("file://").removeprefix("localhost"))


def is_remote(path: str) -> bool:
    """Return whether `path` is a URL that does not name a local file."""
    return is_url(path) and not path.startswith("file://")


def split_url(url: str) -> tuple[str, str]:
    """Return `url` up to the end of its path, and the rest.

    The rest begins with its mark: `?` for a query, or `::` for the archive that holds the path.
    """
    scheme, mark, rest = url.partition("://")
    ends = (
        [rest.find("?")]
        if scheme in (*_ARROW_SCHEMES, "file")
        else [rest.find("?"), rest.find("::")]
    )
    end = min((at for at in ends if at >= 0), default=len(rest))
    return scheme + mark + rest[:end], rest[end:]


def is_quoted(path: str) -> bool:
    """Return whether `path` is a URL that is percent-decoded here; fsspec's URLs are not."""
    return path.partition("://")[0] in (*_ARROW_SCHEMES, "file") and is_url(path)


def check_urls(paths: pa.Array) -> None:
    """Raise ImportError or ValueError if one of `paths` is a URL that nothing here can open."""
    urls = paths.filter(pc.match_substring(paths, "://"))
    for scheme in pc.unique(pc.replace_substring_regex(urls, "(?s)://.*", "")).to_pylist():
        name = os.fsdecode(scheme)
        if name not in (*_ARROW_SCHEMES, "file") and is_url(f"{name}://"):
            _fsspec_files().check_scheme(name)


def _fsspec_files() -> ModuleType:
    try:
        from raybatch.stores import fsspec_files
    except ImportError as error:
        raise ImportError(
            "fsspec reads URLs of this kind: pip install 'raybatch[remote]'"
        ) from error
    return fsspec_files
