"""The loader, which delivers batches in order, epoch after epoch.

How a batch is made:

    plan.requests ─► scheduler ─Submit─► pool session ─► worker: make(source, request) → result
                      ▲                    │
                      ├──── Completed ◄────┘          (the bytes stay where the worker put them)
                      └─Deliver(k)─► session.fetch ─► delivery.batch ─► the caller
                                                      Taken(k) ─► scheduler, which begins another
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np

from raybatch.checks import int_between, says_instead
from raybatch.loader.course import Course
from raybatch.loader.delivery import Delivery
from raybatch.loader.fingerprint import fingerprint
from raybatch.loader.first_sample import try_first_sample
from raybatch.loader.iterator import EpochIterator
from raybatch.loader.other_names import INSTEAD
from raybatch.loader.plan import Plan
from raybatch.loader.producer import Producer
from raybatch.loader.progress import ProgressLine
from raybatch.loader.ranks import RankSplit
from raybatch.loader.shorthands import pool_with, prefetch_of, shuffle_with, split_of
from raybatch.loader.state import position_in, state_of
from raybatch.loader.stats import LoaderStats, StatsCounter
from raybatch.loader.watch import Watch
from raybatch.making.policy import BadSamples
from raybatch.order.position import Position
from raybatch.order.shuffle import Shuffle
from raybatch.pools.journal import Journal
from raybatch.pools.pool import WorkerPool
from raybatch.scheduling.settings import Prefetch, Recovery
from raybatch.sources.batch import Batch
from raybatch.sources.ledger import BadSampleLedger, excluded
from raybatch.sources.source import DataSource, check_source


class Loader:
    """Gives batches of `source`, epoch after epoch, in an order that does not depend on the pool.

        with Loader(data, 64, shuffle=True, seed=7, workers=8) as loader:
            for images, labels in loader:
                ...

    Each `iter()` is a new epoch, whether or not the last one was finished. An epoch of which no
    batch was received begins again. After `load_state_dict` it continues within an epoch. While you
    consume the last batches of an epoch, the pool makes the first ones of the next.

    Args:
        source: The data source. It must have random access.
        batch_size: The number of samples in a batch of this rank.
        shuffle: None or False keeps the samples in order. True shuffles them with `seed`, or else
            with a seed that is drawn once. An int is a seed itself (0 too). A RandomState, a
            Generator or `np.random` is copied, and the copy draws the order.
        seed: The seed for `shuffle=True`. Random transforms draw from it too.
        last_batch: What to do with a short last batch. "keep" delivers it: ranks share it, and some
            may get none. "drop" leaves it out. "pad" fills it up, so that every rank has the same
            number of full batches, and adds an array `valid`, bool `(batch_size,)`, as the last
            field of each batch. None is like "keep", but raises ValueError if ranks would get
            unequal numbers of batches.
        split: A `RankSplit`, or (rank, world_size), if this loader is one of several ranks. Each
            rank gets its part of every global batch. All ranks need the same shuffle, so True
            without a seed and generators without a seed are refused.
        pool: The pool that makes the batches. None makes each batch in this thread when it is asked
            for.
        workers: The number of Ray actors to start for this loader alone, instead of `pool`.
        prefetch: The number of batches to make ahead, or a `Prefetch`; the pool has a default.
        recovery: What to do when workers are lost.
        bad_samples: What to do about samples that cannot be read, or that end each worker that
            tries: "raise", "skip", "replace", or a `BadSamples` for more settings. The property of
            that name lists them, and after each epoch with bad samples a line on the standard error
            counts them. Errors of a whole disk, host or network are always raised. So are errors in
            the program's own code, unless `BadSamples.program_errors` is True.
        exclude: Samples to leave out: a list of bad samples, the path of a saved one, or an index
            array.
        progress: Whether to show the progress of an epoch: on the standard error, in a notebook, or
            in the log if the standard error is not a terminal.
        name: The name of this loader in metrics and logs.
        batches_per_epoch: The number of batches in an epoch, which `len()` returns. The next epoch
            continues in the order where this one ends. By default an epoch is a pass over `source`.
        check_sample: Whether to read the first one or two samples now, in this process, and raise
            FirstSampleError if no worker could read or stack them. This does not change the
            batches. A sample that kills its process kills this one: for such data use False, and a
            pool of actors.

    Arrays from Ray actors are read-only; copy one to change it. Large ones are views of the object
    store: if you keep one, its whole batch stays there.

    Iterating raises BatchError for a batch that cannot be made; `next()` on the same iterator then
    gives the next batch. Close the loader, use it in a `with` block, or delete it; until then it
    holds its pool. A pickled loader continues where this one is, with its own copy of the pool, or
    with the same pool if that has a name.
    """

    @says_instead("Loader", INSTEAD)
    def __init__(
        self,
        source: DataSource,
        batch_size: int,
        *,
        shuffle: Shuffle = False,
        seed: int | np.integer[Any] | None = None,
        last_batch: str | None = None,
        split: RankSplit | tuple[int, int] | None = None,
        pool: WorkerPool | None = None,
        workers: int | None = None,
        prefetch: Prefetch | int | None = None,
        recovery: Recovery | None = None,
        bad_samples: BadSamples | str = "raise",
        exclude: Any = None,
        progress: bool = False,
        name: str = "loader",
        batches_per_epoch: int | None = None,
        check_sample: bool = True,
    ) -> None:
        check_source("source", source)
        shuffle, prefetch = shuffle_with(shuffle, seed), prefetch_of(prefetch)
        setting = BadSamples.of(bad_samples)
        if exclude is not None:
            source = source.without(excluded(exclude))
        self._plan = Plan(
            source, batch_size, shuffle, last_batch, split_of(split), setting, batches_per_epoch
        )
        self._fingerprint = fingerprint(source)
        recovery = Recovery() if recovery is None else recovery
        if not isinstance(recovery, Recovery):
            raise TypeError(f"recovery must be a Recovery, not {recovery!r}")
        pool = pool_with(pool, workers)
        self._producer = Producer(source, pool, prefetch, recovery)
        self._name, self._progress = str(name), bool(progress)
        self._delivery = Delivery(self._plan, setting, self._producer, self._name)
        if check_sample:
            try_first_sample(self._plan, self._producer, setting, self._name)
        self._counter = StatsCounter()
        self._journal = Journal(self._name)
        watchers = [pool.metrics(self._name), ProgressLine(self._name) if progress else None]
        self._watch = Watch(
            [watcher for watcher in watchers if watcher is not None],
            self._counter,
            self._journal,
            self._delivery.ledger,
        )
        self._adopts_seed = shuffle is True
        self._course = Course(self._plan, self._counter)
        # A weak reference, so that leaving the loop frees the iterator and the batches made for it.
        self._iterator: weakref.ref[EpochIterator] | None = None

    def __repr__(self) -> str:
        plan = self._plan
        parts = [repr(plan.source), f"batch_size={plan.batch_size}", repr(plan.shuffles)]
        if plan.split.world_size > 1:
            parts.append(f"split={plan.split.rank, plan.split.world_size}")
        parts += [repr(self._producer), f"epoch {self.epoch}"]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def epoch(self) -> int:
        """The number, from 0, of the epoch that a loop is in, or of the next `iter()`."""
        return self._course.begin.epoch

    @property
    def bad_samples(self) -> BadSampleLedger:
        """The bad samples skipped or replaced so far; see the argument `bad_samples`."""
        return self._delivery.ledger

    @property
    def num_samples(self) -> int | float | None:
        """The number of samples in a pass over the source, for all ranks together.

        An int, `np.inf`, or None if unknown.
        """
        return self._plan.pass_samples

    def stats(self) -> LoaderStats:
        """Return the counts so far, where the time went, and what would make it faster."""
        return self._counter.snapshot(self._course.hand_over)

    @property
    def batch_size(self) -> int:
        """The largest number of samples in a batch of this rank."""
        return self._plan.batch_size

    @property
    def batches_received(self) -> int:
        """The number of global batches received in the current epoch, or in one left early.

        Batches without a good sample count too.
        """
        return self._course.position.batches

    def set_epoch(self, epoch: int) -> None:
        """Make the next `iter()` give `epoch`, from its first batch.

        If it would give `epoch` anyway, nothing changes: after `load_state_dict` it still continues
        within the epoch.
        """
        number = int_between("epoch", epoch, 0)
        if number == self.epoch and self._course.position == self._course.begin:
            return  # an iterator that has given nothing yet may continue
        self._close_iterator("set_epoch() moved the loader")
        if number != self.epoch:
            self._course.move(self._plan.walk.start_of(number))
        self._course.start()

    def skip(self, batches: int) -> None:
        """Skip the next `batches` batches as if they had been received.

        They can span epochs, and are counted from where the next `iter()` begins. ValueError if the
        number is negative or there are fewer batches.
        """
        count = int_between("batches", batches, 0)
        self._close_iterator("skip() moved the loader")
        self._course.move(self._plan.walk.after(self._course.begin, count))

    def state_dict(self) -> dict[str, Any]:
        """Return the position of this loader as a small dict that JSON can hold.

        The position follows the batches that the caller has received, not those made ahead.
        TypeError for a shuffle that is not a NumPy generator.
        """
        return state_of(self._plan, self._course.position, self._fingerprint)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at `state`: the next `iter()` begins with the next batch of the saved loader.

        The pool, the batch size and the number of ranks can differ from before: each sample that
        was not received yet follows once. StateError for a state of a different version, source,
        sampler or shuffle; it names the field.
        """
        position = position_in(state, self._plan, self._fingerprint)
        # An error if the shuffle does not fit; nothing has changed yet.
        adopts = self._adopts_seed
        shuffles = self._plan.saved_shuffles(state["shuffle"], position, adopt_seed=adopts)
        self._close_iterator("load_state_dict() moved the loader")
        self._plan.shuffles = shuffles
        self._course.move(position)

    def split(self, world_size: int) -> list[Loader]:
        """Return a loader for each of `world_size` ranks; send each to the process of its rank.

        They share this loader's pool if it has a name; otherwise each starts a pool like it.
        """
        if self._plan.split.world_size != 1:
            raise ValueError("this loader is one rank of a split already")
        RankSplit(0, world_size)  # raises the errors for an invalid number of ranks
        here, splits = self._course.position, [RankSplit(r, world_size) for r in range(world_size)]
        return [_copied(*self._copy_arguments(split, here)) for split in splits]

    def serial(self) -> Loader:
        """Return a loader of the same batches without a pool, at the start of this loader's epoch.

        ValueError if this loader is one rank of several.
        """
        if self._plan.split.world_size != 1:
            raise ValueError("this loader is one rank of a split; use the loader that was split")
        start = self._plan.walk.start_of(self.epoch)
        arguments, *rest = self._copy_arguments(self._plan.split, start)
        return _copied({**arguments, "pool": None}, *rest)

    def __len__(self) -> int:
        """Return the number of batches of the current epoch.

        A rank can get one fewer if `last_batch` is "keep". TypeError if the epoch is endless.
        """
        return self._plan.num_batches(self._course.begin)

    def __length_hint__(self) -> int:
        """Return `len()`.

        ValueError if the epoch is endless, because `list()` would fill the memory.
        """
        try:
            return len(self)
        except TypeError as error:
            # `list()` ignores a TypeError.
            raise ValueError(f"a list of all batches cannot be made: {error}") from None

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the next epoch.

        An earlier loop ends, and raises RuntimeError if it continues.
        """
        self._close_iterator("another iter() of the loader began")
        course = self._course
        if course.stream is not None and not self._producer.is_current:
            course.drop_stream()  # the source has changed since its batches were made
        if course.stream is None:
            requests = self._plan.requests(course.begin)
            course.stream = self._producer.stream(
                requests, course.largest_bytes, self._journal, self._watch.waiting
            )
        self._delivery.begin_epoch()
        course.start()
        self._watch.begin(self.epoch, lambda: self._plan.num_batches_left(course.begin))
        iterator = EpochIterator(course, self._delivery, self._counter, self._watch)
        self._iterator = weakref.ref(iterator)
        return iterator

    def close(self) -> None:
        """Drop the batches made ahead, and release the pool; can be called twice."""
        self._watch.end(self._course.stream)
        self._delivery.end_epoch()
        self._course.drop_stream()
        self._producer.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, self._copy_arguments(self._plan.split, self._course.position)

    def _copy_arguments(self, split: RankSplit, position: Position) -> tuple[Any, ...]:
        shuffle = self._plan.shuffles.at(position.pass_number)
        is_seed = isinstance(shuffle, int)
        arguments = {
            "source": self._plan.source,
            "batch_size": self._plan.batch_size,
            "shuffle": is_seed or shuffle,
            "seed": shuffle if is_seed else None,
            "last_batch": self._plan.last_batch,
            "split": split,
            "pool": self._producer.pool,
            "prefetch": self._producer.prefetch,
            "recovery": self._producer.recovery,
            "bad_samples": self._delivery.setting,
            "progress": self._progress,
            "name": self._name,
            "batches_per_epoch": self._plan.batches_per_epoch,
            "check_sample": False,  # this loader has already done so if requested
        }
        return arguments, position, self._adopts_seed

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _close_iterator(self, why: str) -> None:
        iterator = None if self._iterator is None else self._iterator()
        if iterator is not None:
            iterator.close(why)


def _copied(arguments: dict[str, Any], position: Position, adopts_seed: bool) -> Loader:
    """Return a loader that continues at `position`."""
    loader = Loader(**arguments)
    loader._plan.shuffles.count_from(position.pass_number)
    loader._plan.check_ranks(position)
    loader._course.move(position)
    loader._adopts_seed = adopts_seed
    return loader
