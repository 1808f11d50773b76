"""An in-memory cache, limited in bytes, for values that are costly to make."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_RECENT = 8


class Kept(Generic[T]):
    """A cache of `make(*key)` by key: it keeps the most recently used values, up to `max_bytes`.

    `nbytes_of(value)` returns the size of a value. The cache is safe for threads: one thread makes
    a value, and meanwhile others can make other values. The last value is kept whatever its size.
    Each process has its own cache: a pickled `Kept` is empty.

    `made_again` counts the values that were evicted and soon made again, because the cache is too
    small.
    """

    def __init__(
        self, make: Callable[..., T], nbytes_of: Callable[[T], int], max_bytes: int
    ) -> None:
        self._make, self._nbytes_of, self._max_bytes = make, nbytes_of, max_bytes
        self._clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self._make, self._nbytes_of, self._max_bytes)

    def _clear(self) -> None:
        # The most recently used value is last.
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()
        self._held_bytes = 0
        self._recent: deque[Any] = deque(maxlen=_RECENT)
        self.made_again = 0
        self._lock = Lock()
        self._pid = os.getpid()

    def __getitem__(self, key: tuple[Any, ...]) -> T:
        if self._pid != os.getpid():
            self._clear()  # a fork can copy a lock that another thread holds
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if entry.nbytes is None:
                entry.value = self._make(*key)
                self._count(key, entry)
            value: T = entry.value
            return value

    def _count(self, key: Any, entry: _Entry) -> None:
        """Add the bytes of a new value, and evict older values for it."""
        entry.nbytes = self._nbytes_of(entry.value)
        with self._lock:
            self.made_again += key in self._recent
            self._recent.append(key)
            self._held_bytes += entry.nbytes
            for other, old in list(self._entries.items()):
                if self._held_bytes <= self._max_bytes:
                    break
                # A value without a size is still being made.
                if other != key and old.nbytes is not None:
                    self._held_bytes -= self._entries.pop(other).nbytes or 0


class _Entry:
    def __init__(self) -> None:
        self.lock = Lock()
        self.nbytes: int | None = None
        self.value: Any = None
