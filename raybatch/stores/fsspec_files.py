"""The files of an fsspec file system: https, and many other stores. Only this module imports fsspec."""

from __future__ import annotations

import fsspec
import fsspec.core

from raybatch.retries import Retries
from raybatch.stores.remote import RemoteFiles


class FsspecFiles(RemoteFiles):
    """The files of an fsspec `AbstractFileSystem`.

    Arrow's wrapper of one asks for the kind and the size of a file before it reads it; here it is one request.
    """

    def _read(self, path: str) -> bytes:
        data: bytes = self.filesystem.cat_file(path)
        return data

    def _names(self, root: str, depth: int | None) -> list[str]:
        paths = self.filesystem.find(root, maxdepth=depth)
        # Some file systems begin their paths with a slash, whether that was given or not.
        prefix = self.filesystem._strip_protocol(root).strip("/") + "/"
        return [path.lstrip("/").removeprefix(prefix.lstrip("/")) for path in paths]


def files_of_url(url: str, retries: Retries) -> tuple[FsspecFiles, str]:
    """Return the file system that `url` is about, which fsspec keeps for the process, and the path in it."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return FsspecFiles(filesystem, retries), path


def check_scheme(scheme: str) -> None:
    """Raise ValueError if fsspec has no file system for `scheme`, ImportError if what that needs is absent."""
    for one in scheme.split("::"):
        fsspec.get_filesystem_class(one)
