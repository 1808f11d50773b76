"""A folder of packed files in a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from raybatch.packing.arrow_file import FileRows
from raybatch.packing.packed_folder import PackFolder
from raybatch.sources.ledger import BadSampleLedger
from raybatch.stores.location import Location
from raybatch.stores.written import put, remove


@contextmanager
def store_folder(url: str | os.PathLike[str]) -> Iterator[PackFolder]:
    """Yield the folder at `url`; without a lock, only one process at a time may write into it."""
    with TemporaryDirectory(prefix="raybatch-") as staging:
        yield StorePackFolder(os.fspath(url), Path(staging))


class StorePackFolder(PackFolder):
    """The packed files at `url`, mirrored by the local folder `staging`.

    Each change in `staging` is repeated at `url`. `staging` holds copies of the small files; its
    Arrow files have their sizes but no contents.
    """

    def __init__(self, url: str, staging: Path) -> None:
        super().__init__(staging)
        self._folder = Location(url)
        self.where = str(self._folder)
        # The files at `url`, as listed in `staging`.
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
        """Repeat at `url` what has changed in `staging`."""
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
    """Create a file of `size` bytes that takes no space on the disk."""
    with open(path, "wb") as file:
        os.truncate(file.fileno(), size)


def _changed(path: Path) -> tuple[int, ...]:
    """Return a tuple that changes when the file is rewritten, even within a clock tick."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
