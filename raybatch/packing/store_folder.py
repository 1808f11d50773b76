"""A folder of packed files in a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from raybatch.packing.arrow_file import FileRows
from raybatch.packing.packed_folder import PackFolder
from raybatch.sources import BadSampleLedger
from raybatch.stores.location import Location
from raybatch.stores.written import put, remove


@contextmanager
def store_folder(url: str | os.PathLike[str]) -> Iterator[PackFolder]:
    """Give the folder at `url`; there is no lock, so others must not write into it."""
    with TemporaryDirectory(prefix="raybatch-") as staging:
        yield StorePackFolder(os.fspath(url), Path(staging))


class StorePackFolder(PackFolder):
    """The packed files at `url`. The folder `staging` of this machine stands for it.

    Whatever changes in `staging` is done at `url` next. Of the files there, `staging` has those that are small; the Arrow files
    are there with their sizes, and without contents.
    """

    def __init__(self, url: str, staging: Path) -> None:
        super().__init__(staging)
        self._folder = Location(url)
        self.where = str(self._folder)
        # The files at `url`, as they are in `staging`.
        self._there: dict[str, tuple[int, ...]] = {}
        for name in self._names():
            file = self._at(name)
            if name.endswith(".json"):
                (staging / name).write_bytes(file.open().read())
            else:
                _sparse(staging / name, file.version().size)
            self._there[name] = _changed(staging / name)

    def _names(self) -> list[str]:
        try:
            return [name for run in self._folder.below(depth=1) for name in run]
        except FileNotFoundError:
            return []

    def _at(self, name: str) -> Location:
        return Location(self._folder.join([name])[0])

    def write(self, number: int, rows: FileRows, ledger: BadSampleLedger) -> None:
        super().write(number, rows, ledger)
        self._mirror()

    def finish(self) -> None:
        super().finish()
        self._mirror()

    def _mirror(self) -> None:
        """Do at `url` what was done in `staging`."""
        here = {path.name: _changed(path) for path in self.path.iterdir()}
        # The files come before the manifest that names them.
        for name in sorted(here, key=lambda name: name.endswith(".json")):
            if self._there.get(name) == here[name]:
                continue
            put(self._at(name).path, self.path / name)
            if not name.endswith(".json"):
                _sparse(self.path / name, (self.path / name).stat().st_size)
            self._there[name] = _changed(self.path / name)
        for name in self._there.keys() - here:
            remove(self._at(name).path)
            del self._there[name]


def _sparse(path: Path, size: int) -> None:
    """Make a file of that size that takes no room."""
    with open(path, "wb") as file:
        os.truncate(file.fileno(), size)


def _changed(path: Path) -> tuple[int, ...]:
    """Return what differs when a file was written anew, even in the same tick of the clock."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
