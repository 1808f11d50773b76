"""Which samples make batch k of epoch e: a function of source, batch size, shuffle and rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raybatch.loader.epochs import EpochShuffles
from raybatch.loader.ranks import LAST_BATCH, RankSplit, padded
from raybatch.order import Cursor, RandomKeys, Run, Shuffle, check_batch_size
from raybatch.sources import (
    AbstractDataSource,
    cursor_of,
    take_rows,
)

# The way through an epoch so far: [size of the global batches, how many steps of it], oldest first.
Progress = list[list[int]]


@dataclass(frozen=True, slots=True)
class Task:
    """One batch to make, from step `step` of its epoch.

    `indices` have the structure of the source; if they are `padded_to` a length, the first `valid` count.
    `keys` are what its random numbers derive from. `is_last`: of this rank's epoch.
    """

    epoch: int
    step: int
    indices: Any
    keys: RandomKeys
    valid: int
    padded_to: int | None = None
    is_last: bool = False

    def row(self, number: int) -> Task:
        """Return the task that makes sample `number` of the batch alone."""
        indices = take_rows(self.indices, [number])
        return replace(self, indices=indices, keys=self.keys.at([number]), valid=1, padded_to=None)


class Plan:
    """The tasks of every epoch, for one rank."""

    def __init__(
        self,
        source: AbstractDataSource,
        batch_size: int,
        shuffle: Shuffle,
        last_batch: str,
        split: RankSplit,
    ) -> None:
        if not source.is_random_access:
            raise TypeError(
                f"source must have random access, and this {type(source).__name__} has not: batches of "
                "callables and iterators cannot be made by index; iterate over source.batch_iterator"
            )
        if last_batch not in LAST_BATCH:
            raise ValueError(f"last_batch must be one of {LAST_BATCH}, not {last_batch!r}")
        if not source.has_equal_lengths and (split.world_size > 1 or last_batch == "pad"):
            raise ValueError(
                "the arrays of a composite with trim=False may differ in length, so its batches cannot be "
                'shared out among ranks or padded: let it trim, or use one rank and last_batch="keep"'
            )
        self.source = source
        self.batch_size = check_batch_size(batch_size)
        self.last_batch = last_batch
        self.split = split
        self.global_batch_size = self.batch_size * split.world_size
        self.shuffles = EpochShuffles(shuffle, source, self.global_batch_size)
        self._lengths: dict[int, int] = {}
        # What the source will not take is an error here, not at the first batch.
        self._cursor(0)

    def load_shuffle(self, state: Any, epoch: int, *, adopt_seed: bool) -> None:
        """Draw `epoch` and what follows with the saved shuffle; StateError if it is of another kind."""
        self.shuffles.load_state(state, epoch, adopt_seed=adopt_seed)
        self._lengths = {}

    def tasks(self, epoch: int, progress: Progress) -> Iterator[Task]:
        """Iterate over the tasks of `epoch` after `progress`, and of all epochs that follow.

        An epoch without any tasks ends the iteration, or an empty source would never let go.
        """
        while True:
            last: Task | None = None
            for last in _last_marked(self._epoch_tasks(epoch, progress)):
                yield last
            if last is None:
                return
            epoch, progress = epoch + 1, []

    def num_batches(self, epoch: int) -> int:
        """Return the number of batches of `epoch` for this rank; TypeError if it has no end."""
        if epoch not in self._lengths:
            self._lengths = {epoch: self._count_batches(epoch)}
        return self._lengths[epoch]

    def _epoch_tasks(self, epoch: int, progress: Progress) -> Iterator[Task]:
        seed, key_epoch = self.shuffles.keys(epoch)
        for step, run in self._runs(epoch, progress):
            if not self._gives_batch(len(run)):
                continue
            start, stop = self.split.share(len(run))
            if start < stop:
                indices, position = run.part(start, stop), run.position(start)
            else:
                indices, position = run.part(0, 1), run.position(0)
            padded_to = None
            if self.last_batch == "pad":
                padded_to = self.batch_size
                indices = padded(indices, padded_to)
            number = step * self.split.world_size + self.split.rank
            keys = RandomKeys(seed, key_epoch, number, position)
            yield Task(epoch, step, indices, keys, stop - start, padded_to)

    def _cursor(self, epoch: int) -> Cursor:
        return cursor_of(self.source, shuffle=self.shuffles.rng(epoch))

    def _runs(self, epoch: int, progress: Progress) -> Iterator[tuple[int, Run]]:
        """Iterate over the global batches of `epoch` after `progress`, with their numbers."""
        cursor = self._cursor(epoch)
        for size, steps in progress:
            cursor.skip(size, steps)
        step = sum(steps for _, steps in progress)
        while (run := cursor.step(self.global_batch_size)) is not None:
            yield step, run
            step += 1

    def _gives_batch(self, length: int) -> bool:
        return self.split.gives_batch(length, self.global_batch_size, self.last_batch)

    def _count_batches(self, epoch: int) -> int:
        samples = self.source.num_samples(shuffle=self.shuffles.rng(epoch))
        if samples == np.inf and self._is_endless(epoch):
            raise TypeError(
                f"this {type(self.source).__name__} has no end, so an epoch has no len()"
            )
        if isinstance(samples, int) and self._cursor(epoch).is_even:
            full, rest = divmod(samples, self.global_batch_size)
            return full + (rest > 0 and self._gives_batch(rest))
        return sum(self._gives_batch(len(run)) for _, run in self._runs(epoch, []))

    def _is_endless(self, epoch: int) -> bool:
        """Whether there is no last batch: some members may be endless where others end the epoch."""
        rng = self.shuffles.rng(epoch)
        batches = self.source.num_batches(self.global_batch_size, shuffle=rng)
        return batches == np.inf


def _last_marked(tasks: Iterator[Task]) -> Iterator[Task]:
    """Iterate over `tasks`, the last of them marked; one before an error is not the last, but not lost."""
    task = next(tasks, None)
    while task is not None:
        try:
            following = next(tasks, None)
        except Exception:
            yield task
            raise
        yield task if following is not None else replace(task, is_last=True)
        task = following
