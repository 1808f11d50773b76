"""The encoded images of one batch, fetched several at a time before they are decoded."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, TypeAlias

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
