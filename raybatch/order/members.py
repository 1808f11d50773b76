"""The orders of sources with several children: a step of all children, or of one at a time."""

from __future__ import annotations

from raybatch.order.cursor import Cursor, Run
from raybatch.order.rows import Rows
from raybatch.order.turns import Turns


class CompositeCursor(Cursor):
    """The order of children that step together, until the first of them ends.

    `in_turn` says that the children draw from one generator, one after the other.
    """

    def __init__(self, children: list[Cursor], in_turn: bool) -> None:
        self._children = children
        self._in_turn = in_turn
        self.is_even = all(child.is_even for child in children)

    def step(self, size: int) -> Run | None:
        runs = []
        for child in self._children:
            run = child.step(size)
            if run is None:
                return None
            runs.append(run)
        length = self._length(list(map(len, runs)))
        self.position += length
        return CompositeRun(runs, length)

    def skip(self, size: int, steps: int) -> None:
        if self._in_turn:
            super().skip(size, steps)
            return
        before = [child.position for child in self._children]
        for child in self._children:
            child.skip(size, steps)
        passed = [c.position - start for c, start in zip(self._children, before, strict=True)]
        # Only the position of an even order is read. If children have short runs on the way, this
        # is an upper bound.
        self.position += self._length(passed)

    def _length(self, lengths: list[int]) -> int:
        """Return the length of a step from the lengths of its runs."""
        return min(lengths)


class CompositeRun:
    """A run of each child: its first `length` samples, or all samples of a shorter run."""

    def __init__(self, runs: list[Run], length: int) -> None:
        self._runs = runs
        self._length = length

    def __len__(self) -> int:
        return self._length

    def part(self, start: int, stop: int) -> Rows:
        return Rows.joined(
            (number, run.part(start, min(stop, len(run)))) for number, run in enumerate(self._runs)
        )


class ChoiceCursor(Cursor):
    """The order of children that take turns; each step takes a run from one child.

    With `in_turn`, the children and the turns draw from one generator.
    """

    def __init__(self, children: list[Cursor], turns: Turns, in_turn: bool) -> None:
        self._children = children
        self._turns = turns
        self._in_turn = in_turn
        self._are_even = all(child.is_even for child in children)
        self._has_ended = False

    def step(self, size: int) -> Run | None:
        if self._has_ended:
            return None  # the next turn could be that of a child that has batches left
        while (number := self._turns.next(size, self._passed())) is not None:
            run = self._children[number].step(size)
            if run is not None:
                self.position += len(run)
                return ChoiceRun(run, number)
            if self._turns.end_together:
                break
            self._turns.ended(number)
        self._has_ended = True
        return None

    def skip(self, size: int, steps: int) -> None:
        if self._in_turn or not (self._turns.end_together or self._are_even):
            super().skip(size, steps)  # the turn of a child that has already ended is not a step
            return
        if steps == 0:
            return  # `skip` lays the turns out for this size, which must wait until one is taken
        before = sum(self._passed())
        turns = self._turns.skip(size, steps, self._passed())
        for child, count in zip(self._children, turns, strict=True):
            child.skip(size, int(count))
        self.position += sum(self._passed()) - before

    def _passed(self) -> list[int]:
        return [child.position for child in self._children]


class ChoiceRun:
    """A run of child `number`."""

    def __init__(self, run: Run, number: int) -> None:
        self._run, self._number = run, number

    def __len__(self) -> int:
        return len(self._run)

    def part(self, start: int, stop: int) -> Rows:
        return Rows.joined([(self._number, self._run.part(start, stop))])
