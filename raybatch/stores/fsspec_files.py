"""The files of fsspec file systems: https and many other stores. No other module imports fsspec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO, Any

import fsspec
import fsspec.core
from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractFileSystem

from raybatch.faults import Fault, fault_of
from raybatch.retries import Retries
from raybatch.stores.local_files import FileVersion
from raybatch.stores.remote import RemoteFiles

# The names under which file systems report a version; which of them exist depends on the system.
_STAMPS = [
    *("ETag", "etag", "md5Hash", "Content-MD5", "Last-Modified", "LastModified", "mtime"),
    *("last_modified", "modified", "updated", "created", "CRC", "date_time"),
]


class FsspecFiles(RemoteFiles):
    """The files of an fsspec `AbstractFileSystem`.

    Arrow's wrapper of such a file system asks for the kind and the size of a file before it reads
    it; this class needs one request.
    """

    def _read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        part = {} if end is None else {"start": start, "end": end}
        try:
            data: bytes = self.filesystem.cat_file(path, **part)
        except KeyError as error:  # how older versions report a member that an archive lacks
            raise FileNotFoundError(f"there is no {path!r}") from error
        return data

    def _version(self, path: str) -> FileVersion:
        try:
            info = self.filesystem.info(path)
        except FileNotFoundError as error:
            # For https, fsspec raises this error whatever the server has answered.
            if error.__cause__ is None or fault_of(error.__cause__) is Fault.SAMPLE:
                raise
            raise error.__cause__ from None
        stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), "")
        size = info.get("size")  # a web server can omit the size
        return FileVersion(-1 if size is None else int(size), stamp)

    def _names(self, root: str, depth: int | None) -> list[str]:
        if _has_own_find(self.filesystem):
            paths = self.filesystem.find(root, maxdepth=depth)
        else:
            paths = self._files_below(self.filesystem._strip_protocol(root), depth)
        return self._relative(root, paths)

    def _folders(self, root: str) -> list[str]:
        entries = self.filesystem.ls(root, detail=True)
        folders = [entry["name"] for entry in entries if entry["type"] == "directory"]
        return [name.rstrip("/") for name in self._relative(root, folders)]

    def _relative(self, root: str, paths: Iterable[str]) -> list[str]:
        # Some file systems begin their paths with a slash whether the argument has one or not.
        prefix = self.filesystem._strip_protocol(root).strip("/") + "/"
        return [path.lstrip("/").removeprefix(prefix.lstrip("/")) for path in paths]

    def _files_below(self, folder: str, depth: int | None) -> Iterator[str]:
        """Iterate over all files below `folder`.

        fsspec's own `find` silently leaves out what is below a folder that it cannot list.
        """
        try:
            entries = self._retries.call(partial(self.filesystem.ls, detail=True), folder)
        except FileNotFoundError:
            return  # for example, a page with links to missing files
        for entry in entries:
            name = entry["name"]
            if entry["type"] != "directory":
                yield name
            elif name.rstrip("/") != folder.rstrip("/") and (depth is None or depth > 1):
                yield from self._files_below(name, None if depth is None else depth - 1)


def _has_own_find(filesystem: Any) -> bool:
    """Return whether a file system lists all names in one request, unlike fsspec's own `find`."""
    kind = type(filesystem)
    if issubclass(kind, AsyncFileSystem):
        return kind._find is not AsyncFileSystem._find
    return getattr(kind, "find", None) is not AbstractFileSystem.find


def files_of_url(url: str, retries: Retries) -> tuple[FsspecFiles, str]:
    """Return the file system of `url`, which fsspec caches for the process, and the path in it."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return FsspecFiles(filesystem, retries), path


def files_of_archive(scheme: str, file: IO[bytes], retries: Retries) -> FsspecFiles:
    """Return the files in the open archive `file`, of the kind that `scheme` names, such as zip."""
    filesystem = fsspec.filesystem(scheme, fo=file, skip_instance_cache=True)
    return FsspecFiles(filesystem, retries)


def check_scheme(scheme: str) -> None:
    """Raise ValueError if fsspec does not know `scheme`, ImportError if its package is missing."""
    for one in scheme.split("::"):
        fsspec.get_filesystem_class(one)
