"""The manifest of a folder of packed files: its columns, its files, and how they were made."""

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
from raybatch.retries import Retries
from raybatch.stores.absent import check_exists
from raybatch.stores.aside import written_aside

# Arrow skips names that begin with an underscore or a dot when it reads a folder.
MANIFEST = "_manifest.json"
UNFINISHED = "_unfinished.json"

_VERSION = 1


@dataclass(frozen=True)
class PackedColumn:
    """A column: `dtype` is a `numpy.dtype.str` or "str", and `shape` the shape of one sample."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the column in a file; ArrowException if there is none."""
        if self.dtype == "str":
            return pa.large_string()
        dtype = np.dtype(self.dtype)
        if not self.shape:
            return pa.from_numpy_dtype(dtype)
        # Arrow packs eight bools into a byte, which NumPy cannot map.
        value_type = pa.uint8() if dtype == np.bool_ else pa.from_numpy_dtype(dtype)
        return pa.fixed_shape_tensor(value_type, self.shape)


@dataclass(frozen=True)
class PackedFile:
    """A file: its rows, size and CRC-32, and the samples that were left out or replaced."""

    name: str
    rows: int
    nbytes: int
    crc32: int
    bad_samples: tuple[dict[str, Any], ...] = ()

    def fault(self, folder: Path, *, in_full: bool = False) -> str | None:
        """Return what is wrong with the file, None if nothing is.

        This checks the size and, with `in_full`, also the checksum of all bytes.
        """
        path = folder / self.name
        try:
            nbytes = Retries().call(path.stat).st_size
            if nbytes != self.nbytes:
                return f"it has {nbytes} bytes instead of {self.nbytes}"
            if in_full and (crc := Retries().call(file_crc32, path)) != self.crc32:
                return f"its CRC-32 is {crc:08x} instead of {self.crc32:08x}"
        except FileNotFoundError:
            return "the file is missing"
        except OSError as error:
            return f"it cannot be read: {error}"
        return None

    def check(self, folder: Path) -> None:
        """Raise PackError if the file is missing or has a different size."""
        if fault := self.fault(folder):
            raise PackError(f"{str(folder / self.name)!r} is damaged: {fault}")


@dataclass(frozen=True)
class Manifest:
    """The contents of a folder: `files` in order; `settings` record how the rows were made."""

    columns: tuple[PackedColumn, ...]
    settings: dict[str, Any]
    classes: tuple[str, ...] | None = None
    files: tuple[PackedFile, ...] = field(default=())

    @property
    def rows(self) -> int:
        """The number of samples."""
        return sum(file.rows for file in self.files)

    def column(self, name: str) -> PackedColumn:
        """Return the column named `name`; ValueError if there is none."""
        columns = {column.name: column for column in self.columns}
        if name not in columns:
            raise ValueError(f"there is no column {name!r}; there are {list(columns)}")
        return columns[name]

    def save(self, path: Path) -> None:
        """Write the manifest to a temporary file, and rename it when it is on the disk."""
        values = {"raybatch.packed": _VERSION, "rows": self.rows, **asdict(self)}
        with written_aside(path, synced=True) as aside:
            aside.write_text(json.dumps(values, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Return the manifest that `save` wrote; PackError if `path` is not a manifest."""
        try:
            values = json.loads(path.read_text("utf-8"))
            version = values["raybatch.packed"]
            if version != _VERSION:
                raise PackError(
                    f"{str(path)!r} has version {version}, but this raybatch reads {_VERSION}"
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
            raise PackError(f"{str(path)!r} is not a manifest of packed files: {error}") from error


def is_packed(directory: str | os.PathLike[str]) -> bool:
    """Return whether `directory` is a folder of packed files, finished or not."""
    return any((Path(directory) / name).is_file() for name in (MANIFEST, UNFINISHED))


def load_manifest(directory: Path) -> Manifest:
    """Return the manifest of `directory`.

    PackError if the packing has not ended, FileNotFoundError if none began.
    """
    if (directory / MANIFEST).is_file():
        return Manifest.load(directory / MANIFEST)
    if (directory / UNFINISHED).is_file():
        raise PackError(
            f"the packing into {str(directory)!r} was interrupted: run it again to continue"
        )
    check_exists(directory)
    raise FileNotFoundError(f"{str(directory)!r} holds no packed files: it has no {MANIFEST}")


def file_crc32(path: Path) -> int:
    """Return the CRC-32 of all bytes of a file."""
    crc = 0
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(2**20):
            crc = zlib.crc32(chunk, crc)
    return crc
