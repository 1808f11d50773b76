"""The samples at the positions that are asked for: which those are, reading ahead, and their rows on several threads."""

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
from raybatch.order import NO_KEYS
from raybatch.stages import collected_here, collecting


def sample_positions(index: Any, length: int) -> int | npt.NDArray[np.intp]:
    """Return `index`, an int or a 1-D integer array, with negative ones counted from the end.

    TypeError for another type, ValueError for another number of dimensions, IndexError for an index that a
    sequence of `length` does not have.
    """
    if isinstance(index, (int, np.integer)):
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


# Returns a new generator of the random numbers of a row of the batch: the same for each call.
RngOf: TypeAlias = Callable[[int], np.random.Generator]


class SeededAccessor(Protocol):
    """An accessor of samples that depend on random numbers too, such as images and their random crops.

    An `ArrayDataSource` reads it by `read_seeded`, and so gives it the numbers of the sample in its epoch: those that
    `map_samples` would give to a function. Accessors of one source that draw alike see the same numbers. It is asked from several threads
    and processes, and again for the same batch, so the result must depend on nothing else.
    """

    @property
    def is_random(self) -> bool:
        """Whether it draws at all: if not, it is read as an array is."""

    def __len__(self) -> int: ...

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        """Return the batch of the samples at `index`, an integer array `(n,)`.

        `rng_of(row)` is a new generator for the sample in that row, from the start of its numbers at each call.
        """


def seeded_alone(positions: npt.NDArray[np.intp]) -> RngOf:
    """Return the generators for samples that are read outside of a source: those of epoch 0 of seed 0."""
    return lambda row: NO_KEYS.of_sample(int(positions[row]), 0)


T = TypeVar("T")
Row = TypeVar("Row")

# Rows that are made in one run.
_RUN = 16

_executor: ContextVar[Executor | None] = ContextVar("row executor", default=None)


@contextmanager
def row_executor(executor: Executor | None) -> Iterator[None]:
    """Let the accessors that are read inside this block make their rows on `executor`.

    A worker knows how many threads it may use, an accessor what can be done at once; neither is an argument
    of the other.
    """
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)


def map_rows(fn: Callable[..., T], *columns: Collection[Any]) -> list[T]:
    """Return `list(map(fn, *columns))` of columns of one length; the first row that fails, in their order, raises."""
    executor = _executor.get()
    if executor is None or len(columns[0]) < 2:
        return list(map(fn, *columns))
    times = collected_here()

    def timed(*row: Any) -> T:
        with collecting(times):
            return fn(*row)

    # A row may run code that draws, of which this thread may be in the middle.
    with suspended():
        return list(executor.map(timed, *columns))


def map_runs(fn: Callable[[Sequence[Row]], list[T]], rows: Sequence[Row]) -> list[T]:
    """Return what `fn` returns for runs of `rows` that follow each other, of one row each where rows have threads of their own."""
    length = _RUN if _executor.get() is None else 1
    runs = [rows[start : start + length] for start in range(0, len(rows), length)]
    return [result for results in map_rows(fn, runs) for result in results]


Opener: TypeAlias = Callable[[], IO[bytes]]


class ByteStore(Protocol):
    """Encoded bytes by position, from 0 up to its length: what an accessor of images decodes.

    It is pickled with its accessor, and read from several threads at once.
    """

    def __len__(self) -> int: ...

    def open(self, position: int) -> IO[bytes]:
        """Return the bytes at `position` as a file; OSError if they cannot be read."""

    def name_of(self, position: int) -> str:
        """Return where the bytes at `position` lie, for messages, without credentials."""

    def signature(self, position: int) -> tuple[int, ...]:
        """Return what is another when the bytes at `position` have changed, as `LocalFiles.signature`.

        () where that cannot be told cheaply, as of remote files; OSError if they are not there.
        """

    def fingerprint(self) -> dict[str, Any]:
        """Return which bytes these are, but not what is in them, in the types that JSON has."""


class BlockStore(ByteStore, Protocol):
    """A byte store that is read by the block: several samples that are stored together come together."""

    def block_of(self, position: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of the block of each of the positions `(n,)`."""

    def open_block(self, positions: Sequence[int]) -> list[Opener]:
        """Return what opens each of the samples at `positions`, which are in one block."""


class ReadAhead:
    """`io_threads` threads that read from `store`, started when they are first needed, in each process anew.

    With one thread there is none: this one opens the files, and decodes their images. A `BlockStore` is read by the block.
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
        """Begin to read the files at `positions`; give, for each, what waits for it and returns it."""
        parts = self._parts(positions)
        if parts is None:
            yield [partial(self._store.open, position) for position in positions]
            return
        begun: dict[int, tuple[Future[list[Opener]], int]] = {}
        for rows in parts:
            read = self._begin([positions[row] for row in rows])
            begun |= {row: (read, number) for number, row in enumerate(rows)}
            del read

        # A file leaves with its row: neither its bytes nor its error, with all the frames of that, stay longer.
        def taken(row: int) -> IO[bytes]:
            read, number = begun.pop(row)
            return read.result()[number]()

        try:
            yield [partial(taken, row) for row in range(len(positions))]
        finally:
            # Where a row fails, nobody will ask for the others.
            for read, _ in list(begun.values()):
                read.cancel()

    def _parts(self, positions: Sequence[int]) -> list[list[int]] | None:
        """Return the rows that are read together, those of each block; None where each file is opened when its turn comes."""
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
        # A fork takes the executor along, and not its threads.
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
