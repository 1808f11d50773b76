"""A cache of samples on the disk of the host."""

from __future__ import annotations

import hashlib
import json
import logging
import operator
import os
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raybatch.accessors.fingerprints import fingerprint_of
from raybatch.accessors.index import sample_positions
from raybatch.accessors.rows import map_rows
from raybatch.accessors.shelf import Shelf, Stamp, can_be_kept

_log = logging.getLogger(__name__)

# A file that is changed twice within a tick of its file system's clock may look unchanged the second time.
_TICK_NS = 100_000_000


class CacheStats(NamedTuple):
    """How many samples this process found in the cache, and how many it did not."""

    hits: int
    misses: int


class CachedAccessor:
    """The samples of `accessor`, arrays of one shape and dtype, kept on the disk of the host for the next time.

    They are in a file below `directory`, which all processes of the host share, the actors among them; on another
    host there is another. At most `max_bytes` bytes are kept. Where that is less than all samples take, each has
    its place or has none, for good: those that have one are spread evenly, and are found in every epoch, whatever
    its order.

    What another setting, another list of paths or another version of Pillow has made is not served: it has a
    folder of its own, named by `fingerprint_of(accessor)` and `key`. Nor is a sample whose file has changed since
    (its times, size or inode, where it is a file of this machine; remote ones are not asked). An accessor of your own
    says by methods `fingerprint()` and `signature(position)` what its samples depend on, as `ImageFileAccessor` does;
    without the first it is known by its pickle. Nor is what was half written when a process was killed: each
    sample has a checksum, which is compared when it is read.

    A disk that is full, or cannot be written, is a warning in the log, and no error: samples are then read from
    `accessor`. Remove the folders below `directory` to clear it, at any time; those of other settings stay till then.

    ValueError if `max_bytes` is not above 0, or if samples differ in shape or dtype, TypeError for samples that are
    no arrays and for an accessor that cannot be pickled and has no `fingerprint`, OSError for a `directory` that
    cannot be made.
    """

    def __init__(
        self,
        accessor: Any,
        directory: str | os.PathLike[str],
        max_bytes: int,
        *,
        key: str | None = None,
    ) -> None:
        self._accessor = accessor
        self._max_bytes = operator.index(max_bytes)
        if self._max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, not {max_bytes}")
        self._fingerprint = {**fingerprint_of(accessor), "key": key}
        digest = hashlib.sha256(json.dumps(self._fingerprint).encode()).hexdigest()[:32]
        self._folder = Path(directory).absolute() / digest
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_accessor", "_max_bytes", "_fingerprint", "_folder")
        return {name: self.__dict__[name] for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._shelf: Shelf | None = None
        self._adds = True
        self._hits, self._misses = 0, 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._accessor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._accessor!r}, {str(self._folder.parent)!r})"

    @property
    def paths(self) -> Any:
        """The paths of the accessor, if it has any."""
        return self._accessor.paths

    def stats(self) -> CacheStats:
        """Return the hits and misses in this process so far."""
        return CacheStats(self._hits, self._misses)

    def signature(self, position: int) -> tuple[int, ...]:
        """Return that of the accessor, () if it has none; TypeError if it is no tuple of ints."""
        signature = getattr(self._accessor, "signature", None)
        if signature is None:
            return ()
        given = signature(position)
        try:
            return tuple(map(operator.index, given))
        except TypeError:
            raise TypeError(
                f"signature({position}) of a {type(self._accessor).__name__} must be a tuple of ints, not {given!r}"
            ) from None

    def fingerprint(self) -> dict[str, Any]:
        """Return that of the accessor."""
        return {name: value for name, value in self._fingerprint.items() if name != "key"}

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            sample: npt.NDArray[Any] = self[np.array([positions])][0]
            return sample
        # Before they are read: what changes meanwhile is kept as what it was, and not found again.
        stamps = map_rows(self._stamp, positions.tolist())
        if self._shelf is None:
            self._shelf = Shelf.found(self._folder, len(self), self._max_bytes)
        if self._shelf is None:
            samples = self._read(positions)
            if len(positions):
                self._shelf = Shelf.made(self._folder, samples, len(self), self._max_bytes)
                self._keep(self._shelf, positions, stamps, samples)
            self._count(0, len(positions))
            return samples
        return self._from(self._shelf, positions, stamps)

    def _from(
        self, shelf: Shelf, positions: npt.NDArray[np.intp], stamps: list[Stamp | None]
    ) -> npt.NDArray[Any]:
        """Return the samples at `positions`: those that are on `shelf` from there, and put the others on it."""
        stack = np.empty((len(positions), *shelf.shape), shelf.dtype)
        wanted = list(zip(positions.tolist(), stamps, _rows_of(stack), strict=True))
        found = np.array(map_rows(lambda one: shelf.get(*one), wanted), dtype=bool)
        missing = np.flatnonzero(~found)
        self._count(len(positions) - len(missing), len(missing))
        if len(missing):
            samples = self._read(positions[missing])
            shelf.check(samples)
            self._keep(shelf, positions[missing], [stamps[row] for row in missing], samples)
            stack[missing] = samples
        return stack

    def _read(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        samples = self._accessor[positions]
        if not isinstance(samples, np.ndarray) or not can_be_kept(samples.dtype):
            raise TypeError(
                f"the samples to cache must be arrays of numbers, and a {type(self._accessor).__name__} gives "
                f"{type(samples)} of {getattr(samples, 'dtype', 'no dtype')}"
            )
        return samples

    def _stamp(self, position: int) -> Stamp | None:
        """Return the signature of a sample, None if it cannot be told whether it will have changed."""
        try:
            signature = self.signature(position)
        except OSError:
            return None  # the accessor will say what is wrong
        # Its times come first. One that lies far ahead, by another host's clock, stands as still as one long past.
        now = time.time_ns()
        return None if any(abs(now - at) < _TICK_NS for at in signature[:2]) else signature

    def _keep(
        self,
        shelf: Shelf,
        positions: npt.NDArray[np.intp],
        stamps: list[Stamp | None],
        samples: npt.NDArray[Any],
    ) -> None:
        if not self._adds:
            return
        rows = list(zip(positions.tolist(), stamps, _rows_of(samples), strict=True))
        try:
            map_rows(lambda one: shelf.put(*one), rows)
        except OSError as error:
            self._adds = False
            _log.warning("nothing more is added to the cache in %s: %s", self._folder, error)

    def _count(self, hits: int, misses: int) -> None:
        with self._lock:
            self._hits += hits
            self._misses += misses


def _rows_of(samples: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the samples as arrays of length 1, views where they are contiguous; numbers too have bytes then."""
    samples = np.ascontiguousarray(samples)
    return [samples[row : row + 1] for row in range(len(samples))]
