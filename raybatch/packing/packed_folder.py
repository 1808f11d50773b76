"""A folder of packed files: one that is being written, and the faults of an existing one."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from raybatch.accessors.manifest import MANIFEST, UNFINISHED, Manifest, load_manifest
from raybatch.errors import PackError
from raybatch.packing.arrow_file import FileRows
from raybatch.packing.provenance import check_same
from raybatch.sources.ledger import BadSampleLedger
from raybatch.stores.hidden import is_hidden
from raybatch.stores.local_path import local_path


@contextmanager
def pack_folder(directory: str | os.PathLike[str]) -> Iterator[PackFolder]:
    """Yield the folder `directory`, created if necessary, with this process as its only writer."""
    path = local_path(directory)
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PackError(f"another process is packing into {os.fspath(path)!r}") from None
        except OSError:
            pass  # some network file systems have no locks
        yield PackFolder(path)
    finally:
        os.close(lock)  # the lock ends when the file is closed or the process is killed


class PackFolder:
    """The packed files in the folder `path`, and their manifest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = os.fspath(path)
        self._manifest: Manifest | None = None

    @property
    def is_new(self) -> bool:
        """Whether no packing has begun here."""
        return self._manifest is None

    @property
    def manifest(self) -> Manifest:
        """The record of everything that has been packed so far."""
        assert self._manifest is not None
        return self._manifest

    def find(
        self,
        settings: dict[str, Any],
        names: Sequence[str] | None,
        classes: Sequence[str] | None,
    ) -> None:
        """Continue with the files packed before; PackError if their settings were different.

        FileExistsError if the folder holds something else.
        """
        at = next((name for name in (MANIFEST, UNFINISHED) if (self.path / name).exists()), None)
        where = self.where
        if at is None:
            if not all(is_hidden(entry.name) for entry in self.path.iterdir()):
                raise FileExistsError(f"{where!r} is not empty, and holds no packed files")
            return
        found = Manifest.load(self.path / at)
        # A temporary file of an earlier packing that was killed.
        for aside in (*self.path.glob(".*.arrow*"), *self.path.glob(".*.json*")):
            aside.unlink()
        if not found.files and not any(self.path.glob("[!.]*.arrow")):
            return  # no file was written, so that attempt's settings do not bind this one
        if "rows_per_file" not in settings:
            settings = {**settings, "rows_per_file": found.settings["rows_per_file"]}
        if not any(file.bad_samples for file in found.files):
            # No sample was bad so far, so the earlier policy has changed no file.
            policy = {"bad_samples": settings["bad_samples"]}
            found = dataclasses.replace(found, settings={**found.settings, **policy})
        check_same(found.settings, settings, where)
        if names is not None:
            check_same([column.name for column in found.columns], list(names), where, "names")
        check_same(found.classes, None if classes is None else tuple(classes), where, "classes")
        intact = tuple(file for file in found.files if file.fault(self.path) is None)
        self._manifest = dataclasses.replace(found, files=intact)
        if at == MANIFEST and self.missing():
            # A program that opens the folder meanwhile must see that the packing has not ended.
            self.manifest.save(self.path / UNFINISHED)
            (self.path / MANIFEST).unlink()

    def begin(self, manifest: Manifest) -> None:
        """Begin with `manifest`, which has no files yet."""
        self._manifest = manifest
        manifest.save(self.path / UNFINISHED)

    @property
    def batches_per_file(self) -> int:
        settings = self.manifest.settings
        return int(settings["rows_per_file"]) // int(settings["batch_size"])

    @property
    def file_names(self) -> list[str]:
        """The names of all files, by their numbers."""
        count = -(-int(self.manifest.settings["batches"]) // self.batches_per_file)
        return [f"{number:05}-of-{count:05}.arrow" for number in range(count)]

    def missing(self) -> list[int]:
        """Return the numbers of the files that are still to be written, in order."""
        done = {file.name for file in self.manifest.files}
        return [number for number, name in enumerate(self.file_names) if name not in done]

    def rows_of(self, number: int) -> FileRows:
        """Return an empty buffer for the rows of a file."""
        settings, size = self.manifest.settings, self.batches_per_file
        batches = min(size, int(settings["batches"]) - number * size)
        return FileRows(self.manifest.columns, batches * int(settings["batch_size"]))

    def write(self, number: int, rows: FileRows, ledger: BadSampleLedger) -> None:
        """Write a file with `rows`, and record it; `ledger` has the bad samples of its batches."""
        steps = range(number * self.batches_per_file, (number + 1) * self.batches_per_file)
        bad = tuple(dataclasses.asdict(one) for one in ledger if one.batch in steps)
        path = self.path / self.file_names[number]
        files = [*self.manifest.files, rows.write(path, self.manifest.classes, bad)]
        in_order = tuple(sorted(files, key=lambda file: file.name))
        self._manifest = dataclasses.replace(self.manifest, files=in_order)
        self.manifest.save(self.path / UNFINISHED)

    def finish(self) -> None:
        """Record that all files are complete."""
        self.manifest.save(self.path / MANIFEST)
        (self.path / UNFINISHED).unlink(missing_ok=True)


class PackFault(NamedTuple):
    """A packed file that differs from what was written: its path, and the fault."""

    path: str
    reason: str


def verify(directory: str | os.PathLike[str]) -> Iterator[PackFault]:
    """Iterate over the faults of the packed files in `directory` as they are found.

    Each file is read in full, and its CRC-32 compared. The call itself raises FileNotFoundError for
    a folder without packed files, and PackError for one whose packing was interrupted.
    """
    folder = local_path(directory)
    files = load_manifest(folder).files
    faults = ((folder / file.name, file.fault(folder, in_full=True)) for file in files)
    return (PackFault(os.fspath(path), fault) for path, fault in faults if fault is not None)
