"""The samples of one accessor on the disk: their shape and dtype, which all processes must know, and their rows."""

from __future__ import annotations

import json
import logging
import math
import operator
import os
import threading
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.accessors.row_store import RowStore

_log = logging.getLogger(__name__)

_LAYOUT = "layout.json"
_ROWS = "rows.bin"

# The signature of what a sample was made from.
Stamp: TypeAlias = tuple[int, ...]


def can_be_kept(dtype: np.dtype[Any]) -> bool:
    """Return whether samples of `dtype` are numbers or times, which its name alone describes."""
    return dtype.kind in "biufcmM"


class Shelf:
    """The samples of one accessor that are kept, arrays of `shape` and `dtype`."""

    def __init__(
        self, folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int, max_bytes: int
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._folder = folder
        self._store: RowStore | None = None
        row_bytes = dtype.itemsize * math.prod(shape)
        try:
            self._store = RowStore(os.fspath(folder / _ROWS), rows, row_bytes, max_bytes)
        except OSError as error:
            _log.warning("the cache in %s cannot be used: %s", folder, error)
        if self._store is not None and self._store.capacity == 0:
            _log.warning("max_bytes=%d is less than a sample takes, %d bytes", max_bytes, row_bytes)

    @classmethod
    def found(cls, folder: Path, rows: int, max_bytes: int) -> Shelf | None:
        """Return the shelf that another process has made, None if there is none."""
        try:
            layout = json.loads((folder / _LAYOUT).read_text("utf-8"))
            shape, dtype = tuple(map(operator.index, layout["shape"])), np.dtype(layout["dtype"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if min(shape, default=0) < 0 or not can_be_kept(dtype):
            return None
        return cls(folder, shape, dtype, rows, max_bytes)

    @classmethod
    def made(cls, folder: Path, samples: npt.NDArray[Any], rows: int, max_bytes: int) -> Shelf:
        """Return the shelf for samples like these, and tell other processes of it."""
        layout = json.dumps({"shape": samples.shape[1:], "dtype": samples.dtype.str})
        aside = folder / f".{_LAYOUT}.{os.getpid()}.{threading.get_ident()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            aside.write_text(layout, "utf-8")
            aside.replace(folder / _LAYOUT)
        except OSError as error:
            _log.warning("the cache in %s cannot be written: %s", folder, error)
        return cls(folder, samples.shape[1:], samples.dtype, rows, max_bytes)

    def get(self, position: int, stamp: Stamp | None, out: npt.NDArray[Any]) -> bool:
        """Read a sample into `out`, and return whether it is there."""
        if self._store is None or stamp is None:
            return False
        try:
            return self._store.read(position, stamp, out)
        except OSError:
            return False

    def put(self, position: int, stamp: Stamp | None, sample: npt.NDArray[Any]) -> None:
        """Keep a sample, if there is a place for it; OSError if the disk takes no more."""
        if self._store is not None and stamp is not None:
            self._store.write(position, stamp, sample)

    def check(self, samples: npt.NDArray[Any]) -> None:
        """Raise ValueError if `samples` are not like those that are kept."""
        if samples.shape[1:] != self.shape or samples.dtype != self.dtype:
            raise ValueError(
                f"samples are {samples.dtype} of shape {samples.shape[1:]}, and those in the cache, "
                f"{os.fspath(self._folder)!r}, {self.dtype} of {self.shape}: a cache is for samples of one shape; remove "
                "that folder if all of them have changed"
            )
