"""The global batches of all epochs, one after the other, each with the position after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from raybatch.loader.shuffles import PassShuffles
from raybatch.order.cursor import Cursor, Run, Tally
from raybatch.order.grouped import full_length
from raybatch.order.position import Ahead, Position
from raybatch.sources.mapped import unmapped
from raybatch.sources.mix import MixDataSource
from raybatch.sources.source import DataSource

# The order ends after this many consecutive passes without a batch.
_MOST_EMPTY = 100

# The position after a global batch, and the batch.
Step = tuple[Position, Run]


class Walk:
    """The order of `source`, pass by pass, in global batches of `size`.

    Each pass has its own shuffle from `shuffles`. An epoch is one pass, or `batches_per_epoch`
    batches over as many passes as needed. With `only_full`, short batches are left out.
    """

    def __init__(
        self,
        source: DataSource,
        shuffles: PassShuffles,
        size: int,
        only_full: bool,
        batches_per_epoch: int | None,
    ) -> None:
        self.shuffles = shuffles
        self.size = size
        self.batches_per_epoch = batches_per_epoch
        self._source = source
        self._only_full = only_full

    def cursor(self, pass_number: int, ahead: Ahead = ()) -> Cursor:
        """Return a cursor at the start of a pass; `ahead` is as in `Position`."""
        return _moved(self._source, ahead).order(self.shuffles.rng(pass_number))

    def left(self, position: Position) -> Tally | None:
        """Return how many batches are left in the pass at `position`; None if that is unknown."""
        number, ahead = position.pass_number, position.ahead
        source, rng = _moved(self._source, ahead), self.shuffles.rng(number)
        cursor = self.cursor(number, ahead)
        samples = source.num_samples(shuffle=rng)
        # Some members can be endless while others end the pass.
        if samples == np.inf and source.num_batches(self.size, shuffle=rng) == np.inf:
            return Tally(np.inf)
        if isinstance(samples, int) and cursor.is_even:
            full, rest = divmod(max(0, samples - position.samples), self.size)
            return Tally(full, ((rest, self.size),) if rest else ())
        for size, steps in position.received:
            cursor.skip(size, steps)
        return cursor.tally(self.size)

    def epochs(self, position: Position) -> Iterator[Iterator[Step]]:
        """Iterate over the rest of the epoch at `position` and all following epochs.

        Each is an iterator over its steps.
        """
        if self.batches_per_epoch is None:
            while True:
                yield self.rest_of_pass(position)
                position = Position.of_pass(position.pass_number + 1)
        steps = self._steps(position)
        left = max(0, self.batches_per_epoch - position.batches)
        while True:
            yield islice(steps, left)
            left = self.batches_per_epoch

    def rest_of_pass(self, position: Position) -> Iterator[Step]:
        """Iterate over the steps from `position` to the end of its pass."""
        cursor = self.cursor(position.pass_number, position.ahead)
        most = self.batches_per_epoch
        for size, steps in position.received:
            cursor.skip(size, steps)
        while (run := cursor.step(self.size)) is not None:
            counts = not self._only_full or len(run) == full_length(run, self.size)
            if most is not None and position.batches >= most:
                position = replace(position, epoch=position.epoch + 1, batches=0)
            position = position.moved(self.size, 1, counts if most is not None else 1)
            if counts:
                yield position, run

    def after(self, position: Position, count: int) -> Position:
        """Return the position after `count` more batches, over several epochs if needed.

        ValueError if there are fewer, because no pass has any.
        """
        there = self._further(position, count)
        if self.batches_per_epoch is None:
            return there
        epochs, batches = divmod(position.batches + count, self.batches_per_epoch)
        return replace(there, epoch=position.epoch + epochs, batches=batches)

    def next_epoch(self, position: Position) -> Position:
        """Return the start of the epoch after the one at `position`."""
        most = self.batches_per_epoch
        if most is None:
            return Position.of_pass(position.pass_number + 1)
        there = self._further(position, max(0, most - position.batches))
        return replace(there, epoch=position.epoch + 1, batches=0)

    def start_of(self, epoch: int) -> Position:
        """Return the start of `epoch`, as if the batch size had not changed before it."""
        if self.batches_per_epoch is None:
            return Position.of_pass(epoch)
        return self.after(Position(), epoch * self.batches_per_epoch)

    def _steps(self, position: Position) -> Iterator[Step]:
        """Iterate over the steps of all passes from `position` on.

        It ends after many empty passes: the random order of a choice can leave one pass empty, but
        hardly all of them.
        """
        in_vain = 0
        while in_vain < _MOST_EMPTY:
            is_empty = not position.received
            for position, run in self.rest_of_pass(position):  # noqa: B020 - it goes on from there
                is_empty = False
                yield position, run
            in_vain = in_vain + 1 if is_empty else 0
            position = self._next_pass(position)

    def _next_pass(self, position: Position) -> Position:
        number = position.pass_number + 1
        if self.batches_per_epoch is None:
            return Position.of_pass(number)
        return Position(position.epoch, position.batches, number)

    def _further(self, position: Position, count: int) -> Position:
        """Return the position after `count` more batches, in the pass of the next batch.

        Its epoch is right only if each epoch is a pass.
        """
        if count == 0:
            return position
        first = Position.of_pass(self.shuffles.first)
        tallies = self.left(position), self.left(first)
        if None in tallies:
            return self._walked(position, count)
        left, a_pass = (
            tally.full if self._only_full else tally.steps for tally in tallies if tally
        )
        if self._only_full and not self.cursor(first.pass_number).is_even:
            return self._walked(
                position, count
            )  # short batches, which are left out, can come before the end
        if count < left:
            return position.moved(self.size, count, count)
        if a_pass == 0:
            raise ValueError(f"there are not {count} more batches: no epoch has any")
        passes, rest = divmod(count - int(left), int(a_pass))
        return Position.of_pass(position.pass_number + 1 + passes).moved(self.size, rest, rest)

    def _walked(self, position: Position, count: int) -> Position:
        """Step to the result of `_further`, if the number of batches of a pass is unknown."""
        last = deque(enumerate(islice(self._steps(position), count), 1), maxlen=1)
        taken, (position, _) = last.pop() if last else (0, (position, None))
        if taken < count:
            raise ValueError(f"there are not {count} more batches, only {taken}")
        if next(self.rest_of_pass(position), None) is None:
            return self._next_pass(position)
        return position


def _moved(source: DataSource, ahead: Ahead) -> DataSource:
    mixture = unmapped(source)
    return mixture.moved(dict(ahead)) if isinstance(mixture, MixDataSource) else source
