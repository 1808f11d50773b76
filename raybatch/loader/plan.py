"""Computes the samples of batch k of epoch e from the source, batch size, shuffle and rank."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from raybatch.checks import positive_int
from raybatch.loader.ranks import RankSplit
from raybatch.loader.sampler_checks import check_samplers
from raybatch.loader.shuffles import PassShuffles, check_same_on_all_ranks
from raybatch.loader.walk import Walk
from raybatch.making.policy import BadSamples
from raybatch.making.request import Request
from raybatch.order.cursor import Run
from raybatch.order.grouped import full_length
from raybatch.order.indices import check_batch_size
from raybatch.order.position import Ahead, Position
from raybatch.order.rows import Place
from raybatch.order.seeds import RandomKeys
from raybatch.order.shuffle import Shuffle
from raybatch.sources.ledger import BadSample
from raybatch.sources.source import DataSource, has_equal_lengths

LAST_BATCH = ("keep", "drop", "pad")


class Plan:
    """The requests of every epoch, for one rank.

    The arguments are as in `Loader`. Each request has the setting `bad_samples`, and `known`: the
    bad samples to leave out.
    """

    def __init__(
        self,
        source: DataSource,
        batch_size: int,
        shuffle: Shuffle,
        last_batch: str | None,
        split: RankSplit,
        bad_samples: BadSamples,
        batches_per_epoch: int | None = None,
    ) -> None:
        if not source.is_random_access:
            raise TypeError(
                f"source must have random access, but this {type(source).__name__} does not have"
                " it: batches of callables and iterators cannot be made by index; iterate over"
                " source.batch_iterator"
            )
        if last_batch not in (None, *LAST_BATCH):
            raise ValueError(f"last_batch must be one of {LAST_BATCH}, not {last_batch!r}")
        if not has_equal_lengths(source) and (split.world_size > 1 or last_batch == "pad"):
            raise ValueError(
                "the arrays of a composite with trim=False may differ in length, so its batches"
                " cannot be split over ranks or padded: use trim=True, or use one rank and"
                ' last_batch="keep"'
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
        if batches_per_epoch is not None:
            batches_per_epoch = positive_int("batches_per_epoch", batches_per_epoch)
        self.batches_per_epoch = batches_per_epoch
        self.shuffles = PassShuffles(shuffle, source, self.global_batch_size)
        self._lengths: dict[tuple[PassShuffles, int, Ahead], int] = {}
        # Raises an error for invalid arguments here, not at the first batch.
        self.walk.cursor(0)
        check_samplers(source, self.batch_size, split.world_size, drops=last_batch == "drop")
        self.check_ranks(Position())
        if batches_per_epoch is not None and next(next(self.walk.epochs(Position())), None) is None:
            raise ValueError(
                f"batches_per_epoch is {batches_per_epoch}, but the source has no batch: it has"
                f" {source.num_samples()} samples, with batch_size={batch_size}, {split} and"
                f" last_batch={last_batch!r}"
            )

    @property
    def walk(self) -> Walk:
        """The global batches; this rank gets a part of each."""
        return Walk(
            self.source,
            self.shuffles,
            self.global_batch_size,
            self.last_batch == "drop",
            self.batches_per_epoch,
        )

    def saved_shuffles(self, state: Any, position: Position, *, adopt_seed: bool) -> PassShuffles:
        """Return the saved shuffle from `position` on; StateError if its type differs.

        ValueError as in `check_ranks`.
        """
        changed = copy.copy(self)
        changed.shuffles = copy.copy(self.shuffles)
        changed.shuffles.load_state(state, position.pass_number, adopt_seed=adopt_seed)
        changed.check_ranks(position)
        return changed.shuffles

    def check_ranks(self, position: Position) -> None:
        """Raise ValueError if ranks get unequal numbers of batches from `position` on.

        If `last_batch` is set, this is allowed. If the number of batches in a later pass depends on
        its shuffle, the error comes with the batch itself.
        """
        if self.split.world_size == 1 or self.last_batch is not None:
            return
        self._count(position)

    def requests(self, position: Position) -> Iterator[Request]:
        """Iterate over the requests of the epoch from `position` on, and of all following epochs.

        An epoch without requests ends the iteration; otherwise an empty source would loop for ever.
        """
        for steps in self.walk.epochs(position):
            last: Request | None = None
            own = (self._request(*step) for step in steps if self._gives_batch(step[1]))
            for last in _last_marked(own):
                yield last
            if last is None:
                return

    def num_batches(self, position: Position) -> int:
        """Return the number of batches of the epoch at `position`.

        A rank can get one fewer if `last_batch` is "keep". TypeError if the epoch is endless.
        """
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        which = self.shuffles, position.epoch, position.ahead
        if which not in self._lengths:
            count = self._count(replace(Position.of_pass(position.epoch), ahead=position.ahead))
            if count == np.inf:
                raise TypeError(
                    f"this {type(self.source).__name__} has no end, so an epoch has no len(), and a"
                    " `for` loop over it does not stop: set batches_per_epoch= of the loader,"
                    " num_samples= of a WeightedSampler, or repeats=1 of the source"
                )
            self._lengths = {which: int(count)}
        return self._lengths[which]

    def num_batches_left(self, position: Position) -> int | None:
        """Return the number of batches of the epoch from `position` on, None if it is endless."""
        try:
            count = self.num_batches(position)
        except TypeError:
            return None
        if self.batches_per_epoch is not None:
            return count - position.batches
        return int(self._count(position)) if position.received else count

    @property
    def pass_samples(self) -> int | float | None:
        """The number of samples of a pass for all ranks; an int, `np.inf`, or None if unknown."""
        # With a shuffle, the number of samples of a mixture can be unknown.
        return self.source.num_samples(shuffle=self.shuffles.rng(self.shuffles.first))

    def num_samples(self) -> int | float | None:
        """Return about how many samples this rank gets in an epoch.

        An int, `np.inf`, or None if unknown.
        """
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch * self.batch_size
        samples = self.pass_samples
        return samples if samples in (None, np.inf) else int(samples) // self.split.world_size

    def _request(self, position: Position, run: Run) -> Request:
        """Return the request for this rank's part of `run`, which leads to `position`."""
        seed, key_epoch = self.shuffles.keys(position.pass_number)
        is_padded = self.last_batch == "pad"
        start, stop = self.split.share(len(run))
        # A rank without a sample needs a row to fill its padded batch with.
        rows = run.part(start, stop) if start < stop else run.part(0, 1)
        if is_padded:
            rows = rows.pad(full_length(run, self.global_batch_size) // self.split.world_size)
        number = (position.steps - 1) * self.split.world_size + self.split.rank
        return Request(
            rows,
            RandomKeys(seed, key_epoch, number),
            stop - start,
            is_padded,
            self.bad_samples,
            self.known,
            position,
        )

    def _gives_batch(self, run: Run) -> bool:
        return self._gives(len(run), full_length(run, self.global_batch_size))

    def _gives(self, length: int, full: int) -> bool:
        return self.split.gives_batch(length, full, self.last_batch)

    def _count(self, position: Position) -> int | float:
        """Return the number of batches that this rank gets from the rest of a pass.

        ValueError as in `gives_batch`.
        """
        left = self.walk.left(position)
        if left is None:
            return sum(self._gives_batch(run) for _, run in self.walk.rest_of_pass(position))
        return left.full + sum(self._gives(*short) for short in left.short)


def _last_marked(requests: Iterator[Request]) -> Iterator[Request]:
    """Iterate over `requests` with the last one marked.

    A request before an error is not marked, but it is delivered.
    """
    request = next(requests, None)
    while request is not None:
        try:
            following = next(requests, None)
        except Exception:
            yield request
            raise
        yield request if following is not None else request._replace(is_last=True)
        request = following
