"""The files of an fsspec file system: https, and many other stores. Only this module imports fsspec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import fsspec
import fsspec.core

from raybatch.accessors.redaction import call_without_secrets
from raybatch.accessors.retries import Retries


class FsspecFiles:
    """The files of an fsspec `AbstractFileSystem`.

    Arrow's wrapper of one asks for the kind and the size of a file before it reads it; here it is one request.
    """

    def __init__(self, filesystem: Any, retries: Retries | None = None) -> None:
        self.filesystem = filesystem
        self._retries = retries or Retries()

    def open(self, path: str) -> IO[bytes]:
        """Return all of the file in memory; OSError if it cannot be read, after some retries."""
        return io.BytesIO(
            call_without_secrets(lambda: self._retries.call(self.filesystem.cat_file, path), path)
        )

    def signature(self, path: str) -> tuple[int, ...]:
        """Return (): to ask a store costs about as much as to read the file."""
        return ()

    def below(self, root: str, depth: int | None = None) -> Iterator[list[str]]:
        """Iterate over runs of the names of all files below `root`, relative to it, sorted."""
        find = self.filesystem.find
        paths = call_without_secrets(
            lambda: self._retries.call(lambda one: find(one, maxdepth=depth), root), root
        )
        # Some file systems begin their paths with a slash, whether that was given or not.
        prefix = self.filesystem._strip_protocol(root).strip("/") + "/"
        yield sorted(path.lstrip("/").removeprefix(prefix.lstrip("/")) for path in paths)

    def join(self, root: str, names: list[str]) -> list[str]:
        """Return the paths of `names` below `root`."""
        prefix = root.rstrip("/") + "/" if root else ""
        return [prefix + name for name in names]


def files_of_url(url: str, retries: Retries) -> tuple[FsspecFiles, str]:
    """Return the file system that `url` is about, which fsspec keeps for the process, and the path in it."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return FsspecFiles(filesystem, retries), path


def check_scheme(scheme: str) -> None:
    """Raise ValueError if fsspec has no file system for `scheme`, ImportError if what that needs is absent."""
    for one in scheme.split("::"):
        fsspec.get_filesystem_class(one)
