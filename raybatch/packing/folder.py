"""A folder of packed files: the one that is being written, and the faults of one that is there."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from raybatch.accessors.packed import (
    MANIFEST,
    UNFINISHED,
    Manifest,
    PackedFile,
    file_crc32,
    load_manifest,
    size_fault,
)
from raybatch.errors import PackError
from raybatch.packing.provenance import check_same


class PackFolder:
    """The folder `directory`, made if need be, of which this process is the one writer inside the `with`."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = Path(directory)
        self._manifest: Manifest | None = None
        self._done: dict[str, PackedFile] = {}
        self._lock = -1

    def __enter__(self) -> PackFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise PackError(f"another process is packing into {os.fspath(self.path)!r}") from None
        except OSError:
            pass  # some network file systems have no locks
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._lock)  # the lock goes with it, as it does when the process is killed

    @property
    def is_new(self) -> bool:
        """Whether no packing has begun here."""
        return self._manifest is None

    @property
    def manifest(self) -> Manifest:
        """What has been packed so far."""
        assert self._manifest is not None
        done = tuple(self._done[name] for name in sorted(self._done))
        return dataclasses.replace(self._manifest, files=done)

    def find(
        self,
        settings: dict[str, Any],
        names: Sequence[str] | None,
        classes: Sequence[str] | None,
    ) -> None:
        """Take over what was packed before; PackError if that was with other settings.

        FileExistsError if something else is in the folder.
        """
        at = next((name for name in (MANIFEST, UNFINISHED) if (self.path / name).exists()), None)
        where = os.fspath(self.path)
        if at is None:
            if any(entry.name[0] != "." for entry in self.path.iterdir()):
                raise FileExistsError(f"{where!r} is not empty, and holds no packed files")
            return
        found = Manifest.load(self.path / at)
        if not found.files and not any(self.path.glob("[!.]*.arrow")):
            # Stopped so early, or over so bad an argument, it binds nobody.
            for aside in self.path.glob(".*.arrow"):
                aside.unlink()
            return
        if "rows_per_file" not in settings:
            settings = {**settings, "rows_per_file": found.settings["rows_per_file"]}
        if not any(file.bad_samples for file in found.files):
            # So far it made no difference.
            policy = {"bad_samples": settings["bad_samples"]}
            found = dataclasses.replace(found, settings={**found.settings, **policy})
        check_same(found.settings, settings, where)
        if names is not None:
            check_same([column.name for column in found.columns], list(names), where, "names")
        check_same(found.classes, None if classes is None else tuple(classes), where, "classes")
        intact = [file for file in found.files if size_fault(self.path, file) is None]
        self._manifest, self._done = found, {file.name: file for file in intact}
        if at == MANIFEST and self.missing():
            # Who opens it meanwhile is told.
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
        names = self.file_names
        return [number for number, name in enumerate(names) if name not in self._done]

    def note(self, file: PackedFile) -> None:
        """Enter a file that is in its place."""
        self._done[file.name] = file
        self.manifest.save(self.path / UNFINISHED)

    def finish(self) -> None:
        """Enter that all is there."""
        self.manifest.save(self.path / MANIFEST)
        (self.path / UNFINISHED).unlink(missing_ok=True)


class PackFault(NamedTuple):
    """A packed file that is not what was written: its path, and what is wrong."""

    path: str
    reason: str


def verify(directory: str | os.PathLike[str]) -> Iterator[PackFault]:
    """Iterate over the faults of the packed files in `directory`, as they are found; none if all is well.

    Every byte is read, and compared by the CRC-32 of its file. FileNotFoundError for a folder without packed
    files, PackError for one whose packing has not ended, both at once.
    """
    folder = Path(directory)
    return _faults(folder, load_manifest(folder).files)


def _faults(folder: Path, files: Iterable[PackedFile]) -> Iterator[PackFault]:
    for file in files:
        path = folder / file.name
        fault = size_fault(folder, file)
        if fault is None:
            try:
                crc = file_crc32(path)
            except OSError as error:
                fault = f"it cannot be read: {error}"
            else:
                if crc != file.crc32:
                    fault = f"its CRC-32 is {crc:08x}, and was {file.crc32:08x}"
        if fault is not None:
            yield PackFault(os.fspath(path), fault)
