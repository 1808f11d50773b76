"""The samples at the positions that are asked for: which those are, reading ahead, and their rows on several threads."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import IO, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

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


T = TypeVar("T")

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


def map_rows(fn: Callable[[Any], T], rows: Collection[Any]) -> list[T]:
    """Return `[fn(row) for row in rows]`; the first row that fails, in their order, raises."""
    executor = _executor.get()
    if executor is None or len(rows) < 2:
        return list(map(fn, rows))
    times = collected_here()

    def timed(row: Any) -> T:
        with collecting(times):
            return fn(row)

    return list(executor.map(timed, rows))


Opener: TypeAlias = Callable[[], IO[bytes]]


class ReadAhead:
    """`io_threads` threads that read files, started when they are first needed, in each process anew.

    With one thread there is none: each file is opened when its image is decoded.
    """

    def __init__(self, io_threads: int) -> None:
        threads = operator.index(io_threads)
        if threads < 1:
            raise ValueError(f"io_threads must be 1 or more, not {io_threads}")
        self._threads = threads
        self._executor: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_executor": None}

    @contextmanager
    def openers(
        self, opened: Callable[[int], IO[bytes]], positions: Collection[int]
    ) -> Iterator[list[Opener]]:
        """Begin to read the files at `positions`; give, for each, what waits for it and returns it."""
        if self._threads == 1 or len(positions) < 2:
            yield [partial(opened, position) for position in positions]
            return
        executor = self._pool()
        futures = {
            row: executor.submit(_in_memory, opened, position)
            for row, position in enumerate(positions)
        }

        # A file leaves with its row: neither its bytes nor its error, with all the frames of that, stay longer.
        def taken(row: int) -> IO[bytes]:
            return futures.pop(row).result()

        try:
            yield [partial(taken, row) for row in range(len(positions))]
        finally:
            # Where a row fails, nobody will ask for the others.
            for future in list(futures.values()):
                future.cancel()

    def _pool(self) -> ThreadPoolExecutor:
        # A fork takes the executor along, and not its threads.
        if self._executor is None or self._executor[0] != os.getpid():
            self._executor = os.getpid(), ThreadPoolExecutor(self._threads, "raybatch-io")
        return self._executor[1]


def _in_memory(opened: Callable[[int], IO[bytes]], position: int) -> IO[bytes]:
    file = opened(position)
    if isinstance(file, io.BytesIO):
        return file
    with file:
        return io.BytesIO(file.read())
