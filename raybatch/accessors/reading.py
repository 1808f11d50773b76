"""Reads samples by position: checks the index, reads ahead, and maps over rows on threads."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import IO, Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from raybatch.checks import positive_int
from raybatch.foreign_randomness import suspended
from raybatch.order.seeds import NO_KEYS
from raybatch.stages import collected_here, collecting


def sample_positions(index: Any, length: int) -> int | npt.NDArray[np.intp]:
    """Return `index`, an int or a 1-D integer array, with negative positions counted from the end.

    TypeError for a different type, ValueError for an array of other dimensions, IndexError for a
    position outside a sequence of `length`.
    """
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        return _positions(np.array([index]), length).item()
    if not isinstance(index, np.ndarray):
        raise TypeError(f"index should be an integer or a NumPy array, not a {type(index)}")
    if index.ndim != 1:
        raise ValueError(f"index array should only have 1 dimension, not {index.ndim}")
    if not np.issubdtype(index.dtype, np.integer):
        raise TypeError(f"index array should hold integers, not {index.dtype}")
    return _positions(index, length)


def _positions(index: npt.NDArray[Any], length: int) -> npt.NDArray[np.intp]:
    outside = (index < -length) | (index >= length)
    if outside.any():
        raise IndexError(f"index {index[outside.argmax()]} is out of range for {length} samples")
    positions = index.astype(np.intp)
    return np.where(positions < 0, positions + length, positions)


# Returns a new random generator for a row of the batch, in the same state at each call.
RngOf: TypeAlias = Callable[[int], np.random.Generator]


class SeededAccessor(Protocol):
    """An accessor whose samples also depend on random numbers, such as randomly cropped images.

    An `ArrayDataSource` calls `read_seeded`, with the random numbers that `map_samples` would pass
    to a function for the same sample and epoch. Accessors of one source that draw in the same way
    get the same numbers. Several threads and processes call `read_seeded`, sometimes more than once
    for one batch, so the result must depend on its arguments alone.
    """

    @property
    def is_random(self) -> bool:
        """Whether it draws random numbers; if not, it is read like an array."""

    def __len__(self) -> int: ...

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        """Return the batch of the samples at `index`, an integer array `(n,)`.

        `rng_of(row)` returns a new generator for the sample in that row, in its initial state at
        each call.
        """


def seeded_alone(positions: npt.NDArray[np.intp]) -> RngOf:
    """Return the `rng_of` of samples read outside of a source: seed 0 and epoch 0."""
    return lambda row: NO_KEYS.of_sample(int(positions[row]), 0)


T = TypeVar("T")
Row = TypeVar("Row")

# The number of rows in a run of `map_runs`.
_RUN = 16

_executor: ContextVar[Executor | None] = ContextVar("row executor", default=None)


@contextmanager
def row_executor(executor: Executor | None) -> Iterator[None]:
    """Inside this block, let accessors make their rows on `executor`.

    A worker knows how many threads it may use, and an accessor knows which work can run in
    parallel. The block connects the two without an argument in every function between them.
    """
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)


def map_rows(fn: Callable[..., T], *columns: Collection[Any]) -> list[T]:
    """Return `list(map(fn, *columns))`, computed on the `row_executor` if there is one.

    All columns have the same length. Raises the error of the first row that fails.
    """
    executor = _executor.get()
    if executor is None or len(columns[0]) < 2:
        return list(map(fn, *columns))
    times = collected_here()

    def timed(*row: Any) -> T:
        with collecting(times):
            return fn(*row)

    # Rows on other threads can need the seeded generators that this thread holds, so release them
    # while it waits.
    with suspended():
        return list(executor.map(timed, *columns))


def map_runs(fn: Callable[[Sequence[Row]], list[T]], rows: Sequence[Row]) -> list[T]:
    """Return the results of `fn` for consecutive runs of `rows`, in one list.

    With a `row_executor`, each run has one row, so that all rows can run in parallel.
    """
    length = _RUN if _executor.get() is None else 1
    runs = [rows[start : start + length] for start in range(0, len(rows), length)]
    return [result for results in map_rows(fn, runs) for result in results]


Opener: TypeAlias = Callable[[], IO[bytes]]


class ByteStore(Protocol):
    """The encoded bytes of samples, by position; an accessor reads and decodes them.

    A store is pickled with its accessor. Several threads read it at once.
    """

    def __len__(self) -> int: ...

    def open(self, position: int) -> IO[bytes]:
        """Return the bytes at `position` as a file; OSError if they cannot be read."""

    def name_of(self, position: int) -> str:
        """Return the place of the bytes at `position`, for messages, without credentials."""

    def signature(self, position: int) -> tuple[int, ...]:
        """Return a tuple that changes whenever the bytes do, as `LocalFiles.signature` does.

        Return () if checking for changes is expensive, as for remote files. OSError if the bytes
        are missing.
        """

    def fingerprint(self) -> dict[str, Any]:
        """Return a JSON-serialisable value that identifies the samples, such as their paths."""


class BlockStore(ByteStore, Protocol):
    """A byte store that reads whole blocks: samples that are stored together are read together."""

    def block_of(self, position: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return for each of the positions `(n,)` the number of its block."""

    def open_block(self, positions: Sequence[int]) -> list[Opener]:
        """Return functions that open the samples at `positions`, all of which are in one block."""


class ReadAhead:
    """Reads from `store` on `io_threads` threads, which start at the first use in each process.

    With `io_threads=1` there are no extra threads: the calling thread opens each file just before
    it decodes it. A `BlockStore` is read by whole blocks.
    """

    def __init__(self, store: ByteStore, io_threads: int) -> None:
        self._store: Any = store
        self._by_block = hasattr(store, "open_block")
        self._threads = positive_int("io_threads", io_threads)
        self._executor: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_executor": None}

    @contextmanager
    def openers(self, positions: Sequence[int]) -> Iterator[list[Opener]]:
        """Begin to read the files at `positions`; yield for each a function that waits for it."""
        parts = self._parts(positions)
        if parts is None:
            yield [partial(self._store.open, position) for position in positions]
            return
        begun: dict[int, tuple[Future[list[Opener]], int]] = {}
        for rows in parts:
            read = self._begin([positions[row] for row in rows])
            begun |= {row: (read, number) for number, row in enumerate(rows)}
            del read

        # A row leaves `begun` when its file is taken, so that neither its bytes nor its error,
        # whose traceback holds frames, stay in memory longer.
        def taken(row: int) -> IO[bytes]:
            read, number = begun.pop(row)
            return read.result()[number]()

        try:
            yield [partial(taken, row) for row in range(len(positions))]
        finally:
            # If a row has failed, nobody needs the files of later rows.
            for read, _ in list(begun.values()):
                read.cancel()

    def _parts(self, positions: Sequence[int]) -> list[list[int]] | None:
        """Return lists of the rows that are read together: one list for each block or file.

        None if each file is opened when its turn comes.
        """
        if self._by_block:
            blocks = self._store.block_of(np.array(positions, np.int64)).tolist()
            rows_of: dict[int, list[int]] = {}
            for row, block in enumerate(blocks):
                rows_of.setdefault(block, []).append(row)
            return list(rows_of.values())
        if self._threads == 1 or len(positions) < 2:
            return None
        return [[row] for row in range(len(positions))]

    def _begin(self, positions: list[int]) -> Future[list[Opener]]:
        read = self._store.open_block if self._by_block else self._in_memory
        if self._threads > 1:
            return self._pool().submit(read, positions)
        done: Future[list[Opener]] = Future()
        try:
            done.set_result(read(positions))
        except Exception as error:
            done.set_exception(error)
        return done

    def _pool(self) -> ThreadPoolExecutor:
        # A fork copies the executor but not its threads, so make a new one.
        if self._executor is None or self._executor[0] != os.getpid():
            self._executor = os.getpid(), ThreadPoolExecutor(self._threads, "raybatch-io")
        return self._executor[1]

    def _in_memory(self, positions: list[int]) -> list[Opener]:
        (position,) = positions
        file = self._store.open(position)
        if not isinstance(file, io.BytesIO):
            with file as opened:
                file = io.BytesIO(opened.read())
        return [lambda: file]
