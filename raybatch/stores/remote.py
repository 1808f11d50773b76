"""Files on other machines: what fails in passing is tried again, and no error shows credentials."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

from raybatch.retries import Retries
from raybatch.stores.hidden import is_hidden
from raybatch.stores.secrets import call_without_secrets

T = TypeVar("T")


class RemoteFiles:
    """The files of a file system on other machines; a subclass implements `_read`, `_names` and `_folders`."""

    def __init__(self, filesystem: Any, retries: Retries | None = None) -> None:
        self.filesystem = filesystem
        self._retries = retries or Retries()

    def open(self, path: str) -> IO[bytes]:
        """Return all of the file in memory; OSError if it cannot be read, after some retries."""
        return io.BytesIO(self._call(self._read, path))

    def signature(self, path: str) -> tuple[int, ...]:
        """Return (): to ask a store costs about as much as to read the file."""
        return ()

    def below(
        self, root: str, depth: int | None = None, *, hidden: bool = False
    ) -> Iterator[list[str]]:
        """Iterate over runs of the names of all files below `root`, as `LocalFiles.below` does."""
        names = self._call(lambda one: self._names(one, depth), root)
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

    def _read(self, path: str) -> bytes:
        """Return all of a file."""
        raise NotImplementedError

    def _names(self, root: str, depth: int | None) -> list[str]:
        """Return the names of all files below `root`, relative to it."""
        raise NotImplementedError

    def _folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`."""
        raise NotImplementedError
