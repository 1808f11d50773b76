"""The manifest of a folder of packed files: what is in them, and how it was made."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raybatch.errors import PackError

# Arrow's readers of a folder pass over names that begin with an underscore or a dot.
MANIFEST = "_manifest.json"
UNFINISHED = "_unfinished.json"

_VERSION = 1


@dataclass(frozen=True)
class PackedColumn:
    """A column: `dtype` as `numpy.dtype.str` has it, or "str"; `shape` is that of one sample."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column in a file; ArrowException if there is none."""
        if self.dtype == "str":
            return pa.large_string()
        dtype = np.dtype(self.dtype)
        if not self.shape:
            return pa.from_numpy_dtype(dtype)
        # Arrow has eight bools in a byte, which NumPy cannot map.
        value_type = pa.uint8() if dtype == np.bool_ else pa.from_numpy_dtype(dtype)
        return pa.fixed_shape_tensor(value_type, self.shape)


@dataclass(frozen=True)
class PackedFile:
    """A file: its number of rows, its size, its CRC-32, and the samples that were left out or replaced."""

    name: str
    rows: int
    nbytes: int
    crc32: int
    bad_samples: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a folder holds: `files` in their order; `settings` say what the rows were made of, and how."""

    columns: tuple[PackedColumn, ...]
    settings: dict[str, Any]
    classes: tuple[str, ...] | None = None
    files: tuple[PackedFile, ...] = field(default=())

    @property
    def rows(self) -> int:
        """The number of samples."""
        return sum(file.rows for file in self.files)

    def column(self, name: str) -> PackedColumn:
        """Return the column of that name; ValueError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        raise ValueError(f"there is no column {name!r}; there are {names}")

    def save(self, path: Path) -> None:
        """Write it aside, and rename it when it is on the disk."""
        text = json.dumps(
            {"raybatch.packed": _VERSION, "rows": self.rows, **asdict(self)}, indent=1
        )
        aside = path.with_name(f".{path.name}")
        with open(aside, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Return the manifest that `save` wrote; PackError if `path` is something else."""
        try:
            values = json.loads(path.read_text("utf-8"))
            version = values["raybatch.packed"]
            if version != _VERSION:
                raise PackError(
                    f"{str(path)!r} is of version {version}; this raybatch reads {_VERSION}"
                )
            return cls(
                tuple(PackedColumn(**{**c, "shape": tuple(c["shape"])}) for c in values["columns"]),
                values["settings"],
                None if values["classes"] is None else tuple(values["classes"]),
                tuple(
                    PackedFile(**{**f, "bad_samples": tuple(f["bad_samples"])})
                    for f in values["files"]
                ),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise PackError(f"{str(path)!r} is no manifest of packed files: {error}") from error


def is_packed(directory: str | os.PathLike[str]) -> bool:
    """Return whether `directory` is a folder of packed files, finished or not."""
    return any((Path(directory) / name).is_file() for name in (MANIFEST, UNFINISHED))


def load_manifest(directory: Path) -> Manifest:
    """Return the manifest of `directory`; PackError if the packing has not ended, FileNotFoundError if none began."""
    if (directory / MANIFEST).is_file():
        return Manifest.load(directory / MANIFEST)
    if (directory / UNFINISHED).is_file():
        raise PackError(
            f"the packing into {str(directory)!r} was interrupted: run it again to go on"
        )
    raise FileNotFoundError(f"{str(directory)!r} holds no packed files: it has no {MANIFEST}")


def size_fault(directory: Path, file: PackedFile) -> str | None:
    """Return what is wrong with a file, as far as its size tells; None if nothing."""
    try:
        nbytes = (directory / file.name).stat().st_size
    except FileNotFoundError:
        return "the file is missing"
    return None if nbytes == file.nbytes else f"it has {nbytes} bytes, and had {file.nbytes}"


def file_crc32(path: Path) -> int:
    """Return the CRC-32 of all bytes of a file."""
    crc = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(2**20):
            crc = zlib.crc32(chunk, crc)
    return crc
