"""Packed files compared with their manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from raybatch.accessors.packed_manifest import PackedFile, file_crc32, load_manifest, size_fault


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
