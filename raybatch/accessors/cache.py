"""A cache of samples on the disk of each host."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
import struct
import time
import weakref
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.accessors.array_transform import ArrayTransform
from raybatch.accessors.fingerprints import fingerprint_of, short_digest
from raybatch.accessors.reading import RngOf, map_rows, sample_positions, seeded_alone
from raybatch.checks import positive_int
from raybatch.notices import tell
from raybatch.stores.aside import written_aside
from raybatch.stores.cache_counts import CacheCounts, CacheStats
from raybatch.stores.local_path import local_path

_LAYOUT = "layout.json"
_ROWS = "rows.bin"

# The header of a slot: a mark, the sample's position, the checksum and a digest of its signature.
_HEADER = struct.Struct("<8sqq32s")
_MARK = b"raybatch"
_SLOT_ALIGNMENT = 64

# The signature of the file that a sample was made from.
Stamp: TypeAlias = tuple[int, ...]

# If a file changes twice within one tick of its file system's clock, its second change can go
# unnoticed.
_TICK_NS = 100_000_000


class CachedAccessor:
    """Keeps the samples of `accessor`, arrays of one shape and dtype, on the disk of each host.

    The cache is a file below `directory`. All processes of a host share it, actors included; each
    host has its own. It holds at most `max_bytes` bytes. If the samples need more, a fixed part of
    them is cached, spread evenly over the data set. Every epoch finds these samples, in any order.

    The cache serves no stale or damaged samples, except that it does not notice changes of remote
    files:

    - Each combination of settings, paths and Pillow's version has its own folder, named by
      a digest of `fingerprint_of(accessor)` and `key`. Change `key` to begin a new cache.
    - A sample is read again when its local file changes (times, size or inode).
    - A sample that was half written when a process was killed fails its checksum, which is compared
      on every read.

    Your own accessor declares what its samples depend on with the methods `fingerprint()` and
    `signature(position)`, as `ImageFileAccessor` does. Without `fingerprint()`, its pickle
    identifies it.

    With a random `transform`, the cache keeps each image as it is before the first random step. The
    images must have one size at that point. The other steps run anew in each epoch.

    If the disk is full or not writable, one log line says so, and samples are read from `accessor`.
    To clear the cache, remove the folders below `directory`; you can do this at any time. Folders
    of other settings stay until you remove them.

    ValueError if `max_bytes` is not above 0, if `directory` is a URL, or if samples differ in shape
    or dtype. TypeError if samples are not arrays, or if the accessor has no `fingerprint` and
    cannot be pickled. OSError if `directory` cannot be created.
    """

    def __init__(
        self,
        accessor: Any,
        directory: str | os.PathLike[str],
        max_bytes: int,
        *,
        key: str | None = None,
    ) -> None:
        self._accessor: Any = accessor
        self._after: ArrayTransform | None = None
        if hasattr(accessor, "before_random"):
            self._accessor, self._after = accessor.before_random()
        if getattr(self._accessor, "is_random", False):
            raise TypeError(
                f"the samples of a {type(accessor).__name__} change in each epoch, so a cache of"
                " them would be wrong: give it a method `before_random`, or cache what it reads."
                " If the items draw no random numbers, use ItemAccessor(items, seed_globals=False)"
            )
        self._max_bytes = positive_int("max_bytes", max_bytes)
        self._fingerprint = fingerprint_of(accessor)
        cached = {**fingerprint_of(self._accessor), "key": key}
        own = short_digest(json.dumps(cached).encode())
        self._folder = local_path(directory).absolute() / own
        self._folder.mkdir(parents=True, exist_ok=True)
        self._counts = CacheCounts()
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_accessor", "_after", "_max_bytes", "_fingerprint", "_folder", "_counts")
        return {name: self.__dict__[name] for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._shelf: Shelf | None = None
        self._adds = True

    def __len__(self) -> int:
        return len(self._accessor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._accessor!r}, {str(self._folder.parent)!r})"

    @property
    def paths(self) -> Any:
        """The paths of the accessor, if it has any."""
        return self._accessor.paths

    def stats(self) -> CacheStats:
        """Return the hits and misses in samples so far.

        They include those of all copies of this object in this process, and of the actors that make
        batches for it, as of the last batch that arrived from each.
        """
        return self._counts.stats()

    def signature(self, position: int) -> tuple[int, ...]:
        """Return the accessor's signature, () if it has none.

        TypeError unless it is a tuple of ints.
        """
        signature = getattr(self._accessor, "signature", None)
        if signature is None:
            return ()
        given = signature(position)
        try:
            return tuple(map(operator.index, given))
        except TypeError:
            raise TypeError(
                f"signature({position}) of a {type(self._accessor).__name__} must be a tuple of"
                f" ints, not {given!r}"
            ) from None

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint of the accessor that was given."""
        return self._fingerprint

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            sample: npt.NDArray[Any] = self[np.array([positions])][0]
            return sample
        return self.read_seeded(positions, seeded_alone(positions))

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> npt.NDArray[Any]:
        """Return the stack of the samples at `index`.

        `rng_of(row)` returns the generator of a row, as `SeededAccessor` says.
        """
        samples = self._samples(index)
        return samples if self._after is None else self._after.stack(list(samples), rng_of)

    @property
    def is_random(self) -> bool:
        """Whether the samples depend on random numbers."""
        return self._after is not None

    def _samples(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Return the cached form of the samples at `positions`; the accessor makes missing ones."""
        # Take the signatures before reading. If a file changes in between, its sample is stored
        # under the old signature and is not found again.
        stamps = map_rows(self._stamp, positions.tolist())
        if self._shelf is None:
            self._shelf = Shelf.found(self._folder, len(self), self._max_bytes)
        if self._shelf is None:
            samples = _read(self._accessor, positions)
            if len(positions):
                self._shelf = Shelf.made(self._folder, samples, len(self), self._max_bytes)
                self._keep(self._shelf, positions, stamps, samples)
            self._counts.add(0, len(positions))
            return samples
        return self._from(self._shelf, positions, stamps)

    def _from(
        self, shelf: Shelf, positions: npt.NDArray[np.intp], stamps: list[Stamp | None]
    ) -> npt.NDArray[Any]:
        """Return the samples at `positions`, from `shelf` or the accessor.

        Those from the accessor are put on the shelf.
        """
        stack = np.empty((len(positions), *shelf.shape), shelf.dtype)
        found = np.array(map_rows(shelf.get, positions.tolist(), stamps, _rows_of(stack)), bool)
        missing = np.flatnonzero(~found)
        self._counts.add(len(positions) - len(missing), len(missing))
        if len(missing):
            samples = _read(self._accessor, positions[missing])
            shelf.check(samples)
            self._keep(shelf, positions[missing], [stamps[row] for row in missing], samples)
            stack[missing] = samples
        return stack

    def _stamp(self, position: int) -> Stamp | None:
        """Return the signature of a sample; None if a later change could go unnoticed."""
        try:
            signature = self.signature(position)
        except OSError:
            return None  # the accessor will report the error
        # The first values are file times. A time far in the future, set by another host's clock, is
        # as reliable as one long past.
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
        try:
            map_rows(shelf.put, positions.tolist(), stamps, _rows_of(samples))
        except OSError as error:
            self._adds = False
            tell(f"nothing more is added to the cache in {str(self._folder)!r}: {error}")


def _read(accessor: Any, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    samples = accessor[positions]
    if not isinstance(samples, np.ndarray) or not _can_be_kept(samples.dtype):
        raise TypeError(
            f"the samples to cache must be arrays of numbers, but a {type(accessor).__name__} gives"
            f" {type(samples)} of {getattr(samples, 'dtype', 'no dtype')}"
        )
    return samples


def _rows_of(samples: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the samples as arrays of length 1, views if contiguous.

    Even a number is then an array, whose bytes can be stored.
    """
    samples = np.ascontiguousarray(samples)
    return [samples[row : row + 1] for row in range(len(samples))]


def _can_be_kept(dtype: np.dtype[Any]) -> bool:
    """Return whether `dtype` is a type of numbers or times, which its name describes fully."""
    return dtype.kind in "biufcmM"


class Shelf:
    """The cached samples of one accessor, arrays of `shape` and `dtype`, in a file of equal slots.

        slot: mark, position, CRC-32, signature │ the sample's bytes │ padding

    A slot is written in one call. It is valid only if the checksum over its position, signature and
    bytes is right when it is read. So the file needs neither locks nor an order of writes: a slot
    that was half written when a process was killed, not yet on the disk when the host failed,
    written by two processes at once, or damaged counts as a miss.

    If not all of the `count` samples fit into `max_bytes`, the samples with a slot are spread
    evenly over the data set. If the file cannot be opened, no sample has a slot. The file is sparse
    until it is full. It is not mapped into memory, so a file that shrinks or a full disk raises an
    error instead of a signal.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], count: int, max_bytes: int
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._folder = folder
        self._count = count
        sample_bytes = dtype.itemsize * math.prod(shape)
        self._slot_bytes = -(-(_HEADER.size + sample_bytes) // _SLOT_ALIGNMENT) * _SLOT_ALIGNMENT
        self._slots = min(count, max_bytes // self._slot_bytes)
        try:
            self._file = os.open(folder / _ROWS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            weakref.finalize(self, os.close, self._file)
            if os.fstat(self._file).st_size > self._slots * self._slot_bytes:
                # A cache with a larger limit made this file.
                os.ftruncate(self._file, self._slots * self._slot_bytes)
        except OSError as error:
            tell(f"the cache in {str(folder)!r} cannot be used: {error}")
            self._slots = 0
        else:
            if self._slots == 0:
                tell(
                    f"the cache in {str(folder)!r} is too small for one sample:"
                    f" max_bytes={max_bytes}, but a sample takes {sample_bytes} bytes"
                )

    @classmethod
    def found(cls, folder: Path, count: int, max_bytes: int) -> Shelf | None:
        """Return the shelf that another process has made, None if there is no valid one."""
        try:
            layout = json.loads((folder / _LAYOUT).read_text("utf-8"))
            shape, dtype = tuple(map(operator.index, layout["shape"])), np.dtype(layout["dtype"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if min(shape, default=0) < 0 or not _can_be_kept(dtype):
            return None
        return cls(folder, shape, dtype, count, max_bytes)

    @classmethod
    def made(cls, folder: Path, samples: npt.NDArray[Any], count: int, max_bytes: int) -> Shelf:
        """Return a new shelf for samples like `samples`, and announce it to other processes."""
        layout = json.dumps({"shape": samples.shape[1:], "dtype": samples.dtype.str})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with written_aside(folder / _LAYOUT) as aside:
                aside.write_text(layout, "utf-8")
        except OSError as error:
            tell(f"the cache in {str(folder)!r} cannot be written: {error}")
        return cls(folder, samples.shape[1:], samples.dtype, count, max_bytes)

    def get(self, position: int, stamp: Stamp | None, out: npt.NDArray[Any]) -> bool:
        """Read a sample into `out`, a contiguous array; return whether the slot is valid.

        It is valid if it is whole and has the signature `stamp`. If not, `out` holds undefined
        values.
        """
        place = self._place(position)
        if place is None or stamp is None:
            return False
        header, data = bytearray(_HEADER.size), _bytes_of(out)
        try:
            count = os.preadv(self._file, [header, data], place)
        except OSError:
            return False
        return count == len(header) + len(data) and header == _header(position, stamp, data)

    def put(self, position: int, stamp: Stamp | None, sample: npt.NDArray[Any]) -> None:
        """Write a contiguous `sample` into its slot, if it has one; OSError if the write fails."""
        place = self._place(position)
        if place is None or stamp is None:
            return
        data = _bytes_of(sample)
        header = _header(position, stamp, data)
        written = os.pwritev(self._file, [header, data], place)
        if written != len(header) + len(data):
            raise OSError(f"only {written} bytes of a row were written: the disk may be full")

    def check(self, samples: npt.NDArray[Any]) -> None:
        """Raise ValueError if `samples` differ in shape or dtype from the cached ones."""
        if samples.shape[1:] != self.shape or samples.dtype != self.dtype:
            raise ValueError(
                f"samples are {samples.dtype} of shape {samples.shape[1:]}, but the cache in"
                f" {os.fspath(self._folder)!r} holds {self.dtype} of shape {self.shape}: a cache is"
                " for samples of one shape. If all samples have changed, remove that folder"
            )

    def _place(self, position: int) -> int | None:
        # Over all positions, the quotient grows `_slots` times. A sample has a slot if the quotient
        # grows from its position to the next.
        slot = position * self._slots // self._count
        if (position + 1) * self._slots // self._count == slot:
            return None
        return slot * self._slot_bytes


def _bytes_of(array: npt.NDArray[Any]) -> Any:
    return array.reshape(-1).view(np.uint8).data


def _header(position: int, stamp: Stamp, data: Any) -> bytes:
    digest = hashlib.blake2b(repr((position, *stamp)).encode(), digest_size=32).digest()
    return _HEADER.pack(_MARK, position, zlib.crc32(data, zlib.crc32(digest)), digest)
