"""The order of a mixture: each place belongs to one member, which keeps its own order."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

import numpy as np

from raybatch.order.cursor import Cursor, Run
from raybatch.order.indices import IndexArray
from raybatch.order.rows import Rows
from raybatch.order.shares import MemberShares

# Pass i of a member begins at place i * _PASS. So a sample that comes again has a different place,
# and different random numbers.
_PASS = 2**40
# After this many passes the places repeat, because they must fit into an int64 in nested mixtures.
_PASSES = 2**20


class MemberCursor(Cursor):
    """The samples of one member: `pass_of(0)`, `pass_of(1)` and so on, up to `most` passes.

    Each pass has `length` samples; None if their number is unknown. The samples have the order that
    batches of one sample would have, so the batch size does not change the order.
    """

    def __init__(
        self, pass_of: Callable[[int], Cursor], length: int | float | None, most: float
    ) -> None:
        self._pass_of = pass_of
        self._length = length
        self._most = most
        self._number = 0
        self._cursor = pass_of(0)
        self.is_even = length is not None

    def step(self, size: int) -> Run | None:
        runs: list[tuple[Run, int]] = []
        missing = size
        while missing:
            run = self._cursor.step(missing if self._cursor.is_even else 1)
            if run is not None:
                runs.append((run, self._number % _PASSES * _PASS))
                missing -= len(run)
            elif self._number + 1 < self._most and self._cursor.position:
                self._begin(self._number + 1)
            else:
                break
        self.position += size - missing
        return JoinedRun(runs) if runs else None

    def skip(self, size: int, steps: int) -> None:
        if self._length is None:
            super().skip(size, steps)
            return
        self.position = int(min(self.position + size * steps, self._most * self._length))
        number, there = 0, self.position
        if self._length != math.inf:
            number = int(min(there // self._length, self._most - 1))
            there -= number * int(self._length)
        if number != self._number:
            self._begin(number)
        self._cursor.skip(1, there - self._cursor.position)

    def _begin(self, number: int) -> None:
        self._number, self._cursor = number, self._pass_of(number)


class JoinedRun:
    """Several runs, one after the other, each with a number to add to its places."""

    def __init__(self, runs: list[tuple[Run, int]]) -> None:
        self._runs = runs
        self._ends = list(accumulate(len(run) for run, _ in runs))

    def __len__(self) -> int:
        return self._ends[-1]

    def part(self, start: int, stop: int) -> Rows:
        pieces = []
        for (run, later), end in zip(self._runs, self._ends, strict=True):
            first, last = max(start, end - len(run)), min(stop, end)
            if first < last:
                rows = run.part(first - end + len(run), last - end + len(run))
                moved = Rows(tuple(part.later(later) for part in rows.parts))
                pieces.append((np.arange(first - start, last - start), moved))
        return pieces[0][1] if len(pieces) == 1 else Rows.placed(pieces)


class MixtureCursor(Cursor):
    """Samples of `members` at the places that `shares` gives them, up to place `end`.

    Member i is `ahead[i]` samples ahead of its share, or behind it if that is negative.
    """

    def __init__(
        self, members: list[MemberCursor], shares: MemberShares, end: float, ahead: list[int]
    ) -> None:
        self._members = members
        self._shares = shares
        self._ahead = ahead
        self._end = end
        self.is_even = all(member.is_even for member in members)

    def step(self, size: int) -> Run | None:
        start = self.position
        size = int(min(size, self._end - start))
        if size <= 0:
            return None
        before, after = self._shares.counts(start), self._shares.counts(start + size)
        runs: dict[int, Run] = {}
        for number, member in enumerate(self._members):
            count = after[number] - before[number]
            if count == 0:
                continue
            member.skip(1, before[number] + self._ahead[number] - member.position)
            run = member.step(count)
            got = 0 if run is None else len(run)
            if run is not None:
                runs[number] = run
            if got < count:  # the member has ended, and so does the mixture
                self._end = self._shares.place_of(number, before[number] + got)
                size = min(size, int(self._end) - start)
        self.position += size
        return MixtureRun(runs, self._shares, start, size) if size else None

    def skip(self, size: int, steps: int) -> None:
        if self.is_even:  # each member is moved at its next step
            self.position = int(min(self.position + size * steps, self._end))
        else:
            super().skip(size, steps)


class MixtureRun:
    """The samples at places `start` up to `start + size`; `runs` holds each member's samples."""

    def __init__(self, runs: dict[int, Run], shares: MemberShares, start: int, size: int) -> None:
        self._runs = runs
        self._shares = shares
        self._start = start
        self._size = size

    def __len__(self) -> int:
        return self._size

    def part(self, start: int, stop: int) -> Rows:
        stop = min(stop, self._size)
        first = self._start + start
        of = self._shares.members(first, self._start + stop)
        pieces: list[tuple[IndexArray, Rows]] = []
        for number in np.unique(of).tolist():
            rows = np.flatnonzero(of == number)
            begin = self._shares.count(number, first) - self._shares.count(number, self._start)
            own = self._runs[number].part(begin, begin + len(rows))
            pieces.append((rows, own.under(number)))
        return Rows.placed(pieces) if pieces else Rows.of(np.arange(0))
