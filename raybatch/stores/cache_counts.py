"""Hits and misses of caches, counted in all processes that read through them.

A cache and its copies have one `CacheCounts` in each process. A worker's counts travel with the
result of each batch to the driver, which adds them to its own.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary


class CacheStats(NamedTuple):
    """How many reads found their data in the cache (hits), and how many did not (misses)."""

    hits: int
    misses: int


class CacheCounts:
    """Counts for a cache and all its copies: a copy in the same process shares this object."""

    def __init__(self, key: str | None = None) -> None:
        self._key = uuid.uuid4().hex if key is None else key
        self._hits = self._misses = 0
        self._lock = threading.Lock()
        _here[self._key] = self

    def __reduce__(self) -> tuple[Any, ...]:
        return _counts_of, (self._key,)

    def add(self, hits: int, misses: int) -> None:
        """Count `hits` and `misses` more."""
        with self._lock:
            self._hits += hits
            self._misses += misses

    def stats(self) -> CacheStats:
        """Return the counts so far."""
        return CacheStats(self._hits, self._misses)

    def taken(self) -> CacheStats:
        """Return the counts so far, and begin again from 0."""
        with self._lock:
            stats, self._hits, self._misses = self.stats(), 0, 0
        return stats


_here: WeakValueDictionary[str, CacheCounts] = WeakValueDictionary()
_finding = threading.Lock()


def _counts_of(key: str) -> CacheCounts:
    with _finding:
        counts = _here.get(key)
        return CacheCounts(key) if counts is None else counts


def taken() -> tuple[tuple[str, CacheStats], ...]:
    """Return what the caches of this process counted since the last call, by their keys."""
    counted = ((key, counts.taken()) for key, counts in list(_here.items()))
    return tuple((key, stats) for key, stats in counted if any(stats))


def add(counted: Iterable[tuple[str, CacheStats]]) -> None:
    """Add what a worker's `taken` returned to the counts of this process."""
    for key, stats in counted:
        counts = _here.get(key)
        if counts is not None:  # it is None if the program has dropped the cache
            counts.add(*stats)
