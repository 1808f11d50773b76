"""Packed files in a store, and their copies on this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from raybatch.errors import PackError
from raybatch.stores.aside import written_aside
from raybatch.stores.location import Location


class PackedOrigin(NamedTuple):
    """The packed files in the folder at `url`, each copied into `local` when it is first needed.

    All processes of a host can share the copies. One process copies a file, which then appears as a
    whole or not at all.
    """

    url: str
    local: Path

    def bring_manifest(self, manifest: str, unfinished: str) -> None:
        """Copy the manifest.

        PackError if the packing was interrupted, or if `local` has copies of other packed files.
        """
        folder = Location(self.url)
        names = [name for run in folder.below(depth=1) for name in run]
        if manifest not in names:
            if unfinished in names:
                raise PackError(
                    f"the packing into {str(folder)!r} was interrupted: run it again to continue"
                )
            raise FileNotFoundError(f"{str(folder)!r} holds no packed files: it has no {manifest}")
        content = self._file_at(manifest).open().read()
        target = self.local / manifest
        self.local.mkdir(parents=True, exist_ok=True)
        with self._alone(manifest):
            if not target.exists():
                with written_aside(target, synced=True) as aside:
                    aside.write_bytes(content)
            elif target.read_bytes() != content:
                raise PackError(
                    f"{str(self.local)!r} has copies of packed files that differ from those at"
                    f" {str(folder)!r}: remove it, or give a different folder"
                )

    def bring(self, name: str) -> None:
        """Copy a file unless it is already here."""
        target = self.local / name
        if target.exists():
            return
        with self._alone(name):
            if target.exists():
                return
            with written_aside(target) as aside, self._file_at(name).open() as source:
                with open(aside, "wb") as copy:
                    shutil.copyfileobj(source, copy, 2**20)

    def _file_at(self, name: str) -> Location:
        return Location(Location(self.url).join([name])[0])

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Inside the `with`, let no other process of this host copy the same file."""
        lock = os.open(self.local / f".{name}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)  # the lock ends when the file is closed or the process is killed
