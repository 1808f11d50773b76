"""A place in an order of samples, from which batches of any size are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from raybatch.order.rows import Rows


class Run(Protocol):
    """Consecutive samples of an order; their indices are made when they are asked for."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def part(self, start: int, stop: int) -> Rows:
        """Return samples `start` up to `stop` of the run."""
        ...


class Tally(NamedTuple):
    """How many runs there are: `full` ones, and `short` ones, each as (its length, that of a full one in its place)."""

    full: int | float
    short: tuple[tuple[int, int], ...] = ()

    @property
    def steps(self) -> int | float:
        """The number of all runs."""
        return self.full + len(self.short)


class Cursor:
    """A place in an order, moved forward a run at a time. `position` counts the samples passed.

    A subclass implements `step`; `skip` if there is a faster way than to step. `is_even`: every run is of the
    size asked for, but for the last, so that the number of samples says the number of runs.
    """

    position = 0
    is_even = False

    def step(self, size: int) -> Run | None:
        """Return the next run, of `size` samples or the fewer that are left; None at the end."""
        raise NotImplementedError

    def skip(self, size: int, steps: int) -> None:
        """Move as `steps` times `step(size)` would."""
        for _ in range(steps):
            if self.step(size) is None:
                return

    def tally(self, size: int) -> Tally | None:
        """Return how many runs of `size` are left; None where only stepping tells."""
        return None


class IteratorCursor(Cursor):
    """The order of a sampler or source that only iterates: one size of batches, and no way but to step.

    `iterate(size)` iterates over the indices of batches, and `rows_of(indices, position)` gives their rows.
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
                f"this order gives batches of {self._size} samples, and cannot change to {size} within an "
                "epoch: its sampler or source only iterates; a `cursor` method would make it able to"
            )
        batch = next(self._batches_left, None)
        if batch is None:
            return None
        run = RowsRun(self._rows_of(batch, self.position))
        self.position += len(run)
        return run


class RowsRun:
    """A run whose rows are there already."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def part(self, start: int, stop: int) -> Rows:
        if (start, stop) == (0, len(self._rows)):
            return self._rows
        return self._rows.cut(start, stop)


def overrides(instance: object, method: str, over: str) -> bool:
    """Return whether the class of `instance` defines `method` in a more derived class than `over`.

    Of two ways to say the same thing, a user's subclass may redefine either; the later word counts.
    """
    for cls in type(instance).__mro__:
        if over in vars(cls):
            return False
        if method in vars(cls):
            return True
    return False


def runs(cursor: Cursor, size: int) -> Iterator[Run]:
    """Iterate over the runs of `size` samples from `cursor` on; nothing is drawn till then."""
    while (run := cursor.step(size)) is not None:
        yield run
