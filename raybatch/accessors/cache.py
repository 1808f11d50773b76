"""A cache of samples on the disk of the host."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
import struct
import threading
import time
import weakref
import zlib
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.accessors.array_transform import ArrayTransform
from raybatch.accessors.fingerprints import fingerprint_of, short_digest
from raybatch.accessors.reading import RngOf, map_rows, sample_positions, seeded_alone
from raybatch.checks import positive_int
from raybatch.notices import tell
from raybatch.stores.aside import written_aside
from raybatch.stores.local_path import local_path

_LAYOUT = "layout.json"
_ROWS = "rows.bin"

# What begins a slot: a mark, the sample's position, the checksum, and a digest of the sample's signature.
_HEADER = struct.Struct("<8sqq32s")
_MARK = b"raybatch"
_SLOT_ALIGNMENT = 64

# The signature of what a sample was made from.
Stamp: TypeAlias = tuple[int, ...]

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

    Of images with a random `transform`, it keeps what they are before the first random part of that, which must be of one
    size; the rest is done anew for each epoch. ValueError if they differ in size there.

    A disk that is full, or cannot be written, is told once, and no error: samples are then read from
    `accessor`. Remove the folders below `directory` to clear it, at any time; those of other settings stay till then.

    ValueError if `max_bytes` is not above 0, if `directory` is a URL, or if samples differ in shape or dtype, TypeError for samples that are
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
        self._accessor: Any = accessor
        self._after: ArrayTransform | None = None
        if hasattr(accessor, "before_random"):
            self._accessor, self._after = accessor.before_random()
        if getattr(self._accessor, "is_random", False):
            raise TypeError(
                f"a {type(accessor).__name__} gives other samples in each epoch, which a cache would keep: give it a method "
                "`before_random`, or cache what it reads; an ItemAccessor whose items draw no random numbers takes seed_globals=False"
            )
        self._max_bytes = positive_int("max_bytes", max_bytes)
        self._fingerprint = {**fingerprint_of(self._accessor), "key": key}
        own = short_digest(json.dumps(self._fingerprint).encode())
        self._folder = local_path(directory).absolute() / own
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_accessor", "_after", "_max_bytes", "_fingerprint", "_folder")
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
        return self.read_seeded(positions, seeded_alone(positions))

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> npt.NDArray[Any]:
        """Return the stack of the samples at `index`; `rng_of(row)` has the numbers of each, as `SeededAccessor` says."""
        samples = self._samples(index)
        return samples if self._after is None else self._after.stack(list(samples), rng_of)

    @property
    def is_random(self) -> bool:
        """Whether the samples depend on random numbers."""
        return self._after is not None

    def _samples(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Return what is kept of the samples at `positions`, from the disk or else from the accessor."""
        # Before they are read: what changes meanwhile is kept as what it was, and not found again.
        stamps = map_rows(self._stamp, positions.tolist())
        if self._shelf is None:
            self._shelf = Shelf.found(self._folder, len(self), self._max_bytes)
        if self._shelf is None:
            samples = _read(self._accessor, positions)
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
        found = np.array(map_rows(shelf.get, positions.tolist(), stamps, _rows_of(stack)), bool)
        missing = np.flatnonzero(~found)
        self._count(len(positions) - len(missing), len(missing))
        if len(missing):
            samples = _read(self._accessor, positions[missing])
            shelf.check(samples)
            self._keep(shelf, positions[missing], [stamps[row] for row in missing], samples)
            stack[missing] = samples
        return stack

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
        try:
            map_rows(shelf.put, positions.tolist(), stamps, _rows_of(samples))
        except OSError as error:
            self._adds = False
            tell(f"nothing more is added to the cache in {str(self._folder)!r}: {error}")

    def _count(self, hits: int, misses: int) -> None:
        with self._lock:
            self._hits += hits
            self._misses += misses


def _read(accessor: Any, positions: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    samples = accessor[positions]
    if not isinstance(samples, np.ndarray) or not _can_be_kept(samples.dtype):
        raise TypeError(
            f"the samples to cache must be arrays of numbers, and a {type(accessor).__name__} gives "
            f"{type(samples)} of {getattr(samples, 'dtype', 'no dtype')}"
        )
    return samples


def _rows_of(samples: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the samples as arrays of length 1, views where they are contiguous; numbers too have bytes then."""
    samples = np.ascontiguousarray(samples)
    return [samples[row : row + 1] for row in range(len(samples))]


def _can_be_kept(dtype: np.dtype[Any]) -> bool:
    """Return whether samples of `dtype` are numbers or times, which its name alone describes."""
    return dtype.kind in "biufcmM"


class Shelf:
    """The samples of one accessor that are kept, arrays of `shape` and `dtype`, in a file of slots of one size.

        slot: mark, position, CRC-32, signature │ the sample's bytes │ padding

    A slot is written in one call, and counts if its checksum, over its position, signature and bytes, is right where
    it is read. So neither locks nor an order of writes are needed: what a process left half written when it was
    killed, what the host had not yet put on its disk when it failed, what two wrote at once and what is damaged
    all are samples that are not there.

    Of `count` samples, as many have a slot as fit into `max_bytes`, spread evenly; none has one where the file cannot
    be opened. The file is sparse until it is full. Nothing is mapped: a file that shrinks, or a disk that is full, is
    an error and no signal.
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
                os.ftruncate(self._file, self._slots * self._slot_bytes)  # it had a larger limit
        except OSError as error:
            tell(f"the cache in {str(folder)!r} cannot be used: {error}")
            self._slots = 0
        else:
            if self._slots == 0:
                tell(
                    f"nothing is kept in the cache in {str(folder)!r}: max_bytes={max_bytes} is less than a sample takes, "
                    f"{sample_bytes} bytes"
                )

    @classmethod
    def found(cls, folder: Path, count: int, max_bytes: int) -> Shelf | None:
        """Return the shelf that another process has made, None if there is none."""
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
        """Return the shelf for samples like these, and tell other processes of it."""
        layout = json.dumps({"shape": samples.shape[1:], "dtype": samples.dtype.str})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with written_aside(folder / _LAYOUT) as aside:
                aside.write_text(layout, "utf-8")
        except OSError as error:
            tell(f"the cache in {str(folder)!r} cannot be written: {error}")
        return cls(folder, samples.shape[1:], samples.dtype, count, max_bytes)

    def get(self, position: int, stamp: Stamp | None, out: npt.NDArray[Any]) -> bool:
        """Read a sample into `out`, contiguous, and return whether it is there, whole, and of that signature.

        If not, what is in `out` then is of no use.
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
        """Keep a sample, contiguous, if there is a place for it; OSError if the disk takes no more."""
        place = self._place(position)
        if place is None or stamp is None:
            return
        data = _bytes_of(sample)
        header = _header(position, stamp, data)
        written = os.pwritev(self._file, [header, data], place)
        if written != len(header) + len(data):
            raise OSError(f"only {written} bytes of a row were written: the disk may be full")

    def check(self, samples: npt.NDArray[Any]) -> None:
        """Raise ValueError if `samples` are not like those that are kept."""
        if samples.shape[1:] != self.shape or samples.dtype != self.dtype:
            raise ValueError(
                f"samples are {samples.dtype} of shape {samples.shape[1:]}, and those in the cache, "
                f"{os.fspath(self._folder)!r}, {self.dtype} of {self.shape}: a cache is for samples of one shape; remove "
                "that folder if all of them have changed"
            )

    def _place(self, position: int) -> int | None:
        slot = position * self._slots // self._count
        if (position + 1) * self._slots // self._count == slot:
            return None
        return slot * self._slot_bytes


def _bytes_of(array: npt.NDArray[Any]) -> Any:
    return array.reshape(-1).view(np.uint8).data


def _header(position: int, stamp: Stamp, data: Any) -> bytes:
    digest = hashlib.blake2b(repr((position, *stamp)).encode(), digest_size=32).digest()
    return _HEADER.pack(_MARK, position, zlib.crc32(data, zlib.crc32(digest)), digest)
