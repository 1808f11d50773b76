"""Which samples make batch k of epoch e: a function of source, batch size, shuffle and rank."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybatch.checks import positive_int
from raybatch.loader.epochs import EpochShuffles, check_same_on_all_ranks
from raybatch.loader.position import Position
from raybatch.making import BadSamples, Request
from raybatch.order import Cursor, Place, RandomKeys, Run, Shuffle, check_batch_size
from raybatch.sources import BadSample, DataSource, has_equal_lengths

LAST_BATCH = ("keep", "drop", "pad")


@dataclass(frozen=True)
class RankSplit:
    """Rank `rank` of `world_size` consumers that share out each epoch, from 0.

    A global batch holds `batch_size × world_size` samples; rank r takes the r-th run of it. One that is short
    is shared out as evenly as can be, the lower ranks first.
    """

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        positive_int("RankSplit.world_size", self.world_size)
        if not 0 <= operator.index(self.rank) < self.world_size:
            raise ValueError(
                f"RankSplit.rank must be from 0 to world_size - 1 = {self.world_size - 1}, not {self.rank}"
            )

    def share(self, length: int) -> tuple[int, int]:
        """Return where this rank's part of a global batch of `length` samples starts and stops."""
        base, extra = divmod(length, self.world_size)
        start = self.rank * base + min(self.rank, extra)
        return start, start + base + (self.rank < extra)

    def gives_batch(self, length: int, full_length: int, last_batch: str | None) -> bool:
        """Return whether a global batch of `length` samples, of `full_length` at most, gives this rank one.

        ValueError if it gives some ranks one and others none, and `last_batch` is None: nobody said what to do then.
        """
        if last_batch is None and 0 < length < self.world_size:
            raise ValueError(
                f"a global batch has {length} of {full_length} samples, too few for {self.world_size} ranks, so some "
                "would get a batch more than others: training in step would wait for ever, or pair batches of two "
                'epochs. Say what to do with short batches: last_batch="pad" fills them up on every rank, and marks the '
                'samples that count in an array `valid`; "drop" leaves them out; "keep" lets ranks differ'
            )
        if last_batch == "drop":
            return length == full_length
        start, stop = self.share(length)
        return start < stop or last_batch == "pad"


class Plan:
    """The requests of every epoch, for one rank.

    Each has what `bad_samples` says, and those in `known` to leave out.
    """

    def __init__(
        self,
        source: DataSource,
        batch_size: int,
        shuffle: Shuffle,
        last_batch: str | None,
        split: RankSplit,
        bad_samples: BadSamples,
    ) -> None:
        if not source.is_random_access:
            raise TypeError(
                f"source must have random access, and this {type(source).__name__} has not: batches of "
                "callables and iterators cannot be made by index; iterate over source.batch_iterator"
            )
        if last_batch not in (None, *LAST_BATCH):
            raise ValueError(f"last_batch must be one of {LAST_BATCH}, not {last_batch!r}")
        if not has_equal_lengths(source) and (split.world_size > 1 or last_batch == "pad"):
            raise ValueError(
                "the arrays of a composite with trim=False may differ in length, so its batches cannot be "
                'shared out among ranks or padded: let it trim, or use one rank and last_batch="keep"'
            )
        if split.world_size > 1:
            check_same_on_all_ranks(shuffle)
        self.source = source
        self.batch_size = check_batch_size(batch_size)
        self.last_batch = last_batch
        self.split = split
        self.bad_samples = bad_samples
        self.known: dict[Place, BadSample] = {}
        self.global_batch_size = self.batch_size * split.world_size
        self.shuffles = EpochShuffles(shuffle, source, self.global_batch_size)
        self._lengths: dict[int, int] = {}
        # What the source will not take is an error here, not at the first batch.
        self._cursor(0)
        self.check_ranks(Position())

    def load_shuffle(self, state: Any, position: Position, *, adopt_seed: bool) -> None:
        """Draw what follows `position` with the saved shuffle; StateError if it is of another kind.

        ValueError where `check_ranks` has one; then nothing has changed.
        """
        before = copy.copy(self.shuffles)
        self.shuffles.load_state(state, position.epoch, adopt_seed=adopt_seed)
        try:
            self.check_ranks(position)
        except ValueError:
            self.shuffles = before
            raise
        self._lengths = {}

    def check_ranks(self, position: Position) -> None:
        """Raise ValueError if ranks get unequal numbers of batches from `position` on, and nobody said so.

        In a later epoch, whose batches may depend on its shuffle, it is raised at the batch.
        """
        if self.split.world_size == 1 or self.last_batch is not None:
            return
        samples = self.source.num_samples(shuffle=self.shuffles.rng(position.epoch))
        if isinstance(samples, int) and self._cursor(position.epoch).is_even:
            self._gives_batch(max(0, samples - position.samples) % self.global_batch_size)
        elif not self._is_endless(position.epoch):
            for _, run in self._runs(position):
                self._gives_batch(len(run))

    def requests(self, position: Position) -> Iterator[Request]:
        """Iterate over the requests of an epoch from `position` on, and of all epochs that follow.

        An epoch without any requests ends the iteration, or an empty source would never let go.
        """
        while True:
            last: Request | None = None
            for last in _last_marked(self._epoch_requests(position)):
                yield last
            if last is None:
                return
            position = Position(position.epoch + 1)

    def num_batches(self, epoch: int) -> int:
        """Return the number of batches of `epoch` for this rank; TypeError if it has no end."""
        if epoch not in self._lengths:
            self._lengths = {epoch: self._count_batches(epoch)}
        return self._lengths[epoch]

    def _epoch_requests(self, position: Position) -> Iterator[Request]:
        seed, key_epoch = self.shuffles.keys(position.epoch)
        is_padded = self.last_batch == "pad"
        for step, run in self._runs(position):
            if not self._gives_batch(len(run)):
                continue
            start, stop = self.split.share(len(run))
            rows = run.part(start, stop) if start < stop else run.part(0, 1)
            if is_padded:
                rows = rows.pad(self.batch_size)
            number = step * self.split.world_size + self.split.rank
            yield Request(
                rows,
                RandomKeys(seed, key_epoch, number),
                stop - start,
                is_padded,
                self.bad_samples,
                self.known,
                position.epoch,
                step,
            )

    def _cursor(self, epoch: int) -> Cursor:
        return self.source.order(self.shuffles.rng(epoch))

    def _runs(self, position: Position) -> Iterator[tuple[int, Run]]:
        """Iterate over the global batches of an epoch from `position` on, with their numbers."""
        cursor = self._cursor(position.epoch)
        for size, steps in position.received:
            cursor.skip(size, steps)
        step = position.batches
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
        return sum(self._gives_batch(len(run)) for _, run in self._runs(Position(epoch)))

    def _is_endless(self, epoch: int) -> bool:
        """Whether there is no last batch: some members may be endless where others end the epoch."""
        rng = self.shuffles.rng(epoch)
        batches = self.source.num_batches(self.global_batch_size, shuffle=rng)
        return batches == np.inf


def _last_marked(requests: Iterator[Request]) -> Iterator[Request]:
    """Iterate over `requests`, the last of them marked; one before an error is not the last, but not lost."""
    request = next(requests, None)
    while request is not None:
        try:
            following = next(requests, None)
        except Exception:
            yield request
            raise
        yield request if following is not None else request._replace(is_last=True)
        request = following
