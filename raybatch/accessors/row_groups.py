"""The row groups that were read last."""

from __future__ import annotations

import operator
import os
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import pyarrow as pa


class RowGroupCache:
    """`read(group)`, of which the `size` that were asked for last are kept, in each process its own.

    Threads may ask at once: one that is being read is read once, and others meanwhile. A pickled cache is empty.
    """

    def __init__(self, read: Callable[[int], pa.ChunkedArray], size: int) -> None:
        self._read = read
        self._size = operator.index(size)
        if self._size < 1:
            raise ValueError(f"cached_row_groups must be 1 or more, not {size}")
        self._clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"_read": self._read, "_size": self._size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._clear()

    def _clear(self) -> None:
        self._groups: OrderedDict[int, _RowGroup] = OrderedDict()
        self._lock = Lock()
        self._pid = os.getpid()

    def __getitem__(self, group: int) -> pa.ChunkedArray:
        if self._pid != os.getpid():
            self._clear()  # a fork takes the locks along, in whatever state they were
        with self._lock:
            kept = self._groups.setdefault(group, _RowGroup())
            self._groups.move_to_end(group)
            if len(self._groups) > self._size:
                self._groups.popitem(last=False)
        with kept.lock:
            if kept.values is None:
                kept.values = self._read(group)
            return kept.values


class _RowGroup:
    def __init__(self) -> None:
        self.lock = Lock()
        self.values: pa.ChunkedArray | None = None
