"""The rows of one batch, made one after the other or on several threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from raybatch.stages import collected_here, collecting

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
        return [fn(row) for row in rows]
    times = collected_here()

    def timed(row: Any) -> T:
        with collecting(times):
            return fn(row)

    return list(executor.map(timed, rows))
