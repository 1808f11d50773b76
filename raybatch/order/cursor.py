"""A position in an order of samples, from which batches of any size are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from raybatch.order.rows import Rows


class Run(Protocol):
    """Consecutive samples of an order; the indices are computed only when `part` is called."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def part(self, start: int, stop: int) -> Rows:
        """Return samples `start` to `stop` (exclusive) of the run."""
        ...


class Tally(NamedTuple):
    """The number of `full` runs, and for each short run its length and its full length."""

    full: int | float
    short: tuple[tuple[int, int], ...] = ()

    @property
    def steps(self) -> int | float:
        """The number of all runs."""
        return self.full + len(self.short)


class Cursor:
    """A position in an order, which moves forward run by run.

    `position` is the number of samples passed. A subclass implements `step`, and `skip` if it can
    do that faster than step by step. `is_even` says that every run has the requested size except
    the last one, so the number of samples determines the number of runs.
    """

    position = 0
    is_even = False

    def step(self, size: int) -> Run | None:
        """Return the next run of `size` samples, or a shorter one at the end; None after that."""
        raise NotImplementedError

    def skip(self, size: int, steps: int) -> None:
        """Move forward as `steps` calls of `step(size)` would."""
        for _ in range(steps):
            if self.step(size) is None:
                return

    def tally(self, size: int) -> Tally | None:
        """Return how many runs of `size` samples remain; None if only stepping can tell."""
        return None


class IteratorCursor(Cursor):
    """The order of a sampler or source that can only be iterated over.

    All batches have one size, and skipping means stepping. `iterate(size)` iterates over the
    indices of the batches, and `rows_of(indices, position)` returns their rows.
    """

    def __init__(
        self,
        iterate: Callable[[int], Iterator[Any]],
        rows_of: Callable[[Any, int], Rows] = Rows.of,
    ) -> None:
        self._iterate = iterate
        self._rows_of = rows_of
        self._size: int | None = None
        self._batches_left: Iterator[Any] = iter(())

    def step(self, size: int) -> Run | None:
        if self._size is None:
            self._size, self._batches_left = size, self._iterate(size)
        if size != self._size:
            raise ValueError(
                f"this order gives batches of {self._size} samples and cannot change to {size}"
                " within an epoch, because its sampler or source can only iterate: give it a"
                " `cursor` method"
            )
        batch = next(self._batches_left, None)
        if batch is None:
            return None
        run = RowsRun(self._rows_of(batch, self.position))
        self.position += len(run)
        return run


class RowsRun:
    """A run whose rows are already known."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def part(self, start: int, stop: int) -> Rows:
        if (start, stop) == (0, len(self._rows)):
            return self._rows
        return self._rows.cut(start, stop)


def overrides(instance: object, method: str, over: str) -> bool:
    """Return whether `method` of `instance` is defined in a more derived class than `over`.

    A user's subclass can redefine either of two methods that give the same order; the one in the
    more derived class is used.
    """
    for cls in type(instance).__mro__:
        if over in vars(cls):
            return False
        if method in vars(cls):
            return True
    return False


def runs(cursor: Cursor, size: int) -> Iterator[Run]:
    """Iterate over the runs of `size` samples from `cursor` on.

    Nothing is drawn before the first run is requested.
    """
    while (run := cursor.step(size)) is not None:
        yield run
