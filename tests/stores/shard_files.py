"""The test photographs in archives, each with a label."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PER_SHARD = 14  # 40 photos make two full shards and one of 12


def write_tar(path: Path, members: Mapping[str, bytes], *, kind: int = tarfile.PAX_FORMAT) -> str:
    """Write a tar file as WebDataset's writer does.

    The file is written as a stream. Its times have fractions of seconds, which need an extra
    header.
    """
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w|", format=kind) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1_700_000_000.25, 0o444
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


def samples(photos: Sequence[str], start: int = 0) -> dict[str, bytes]:
    """Return the members of a sample for each photo: its bytes, and its number as the label."""
    members = {}
    for number, photo in enumerate(photos, start):
        members[f"{number:06}.jpg"] = Path(photo).read_bytes()
        members[f"{number:06}.cls"] = str(number).encode()
    return members


def write_shards(folder: Path, photos: Sequence[str], suffix: str = ".tar", **how: Any) -> str:
    """Write the photos into shards, and return the pattern of their names."""
    write = write_tar if suffix == ".tar" else write_zip
    starts = range(0, len(photos), PER_SHARD)
    for number, start in enumerate(starts):
        own = samples(photos[start : start + PER_SHARD], start)
        write(folder / f"{number:03}{suffix}", own, **how)
    return f"{folder}/{{000..{len(starts) - 1:03}}}{suffix}"
