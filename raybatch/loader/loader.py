"""The ordered iterator over epochs of batches.

The way of one batch:

    plan.tasks ─► scheduler ─Submit─► pool session ─► worker: receiver.read(indices, keys, ...) of the source
                      ▲                    │
                      ├──── Completed ◄────┘          (the bytes stay where the worker put them)
                      └─Deliver(k)─► session.fetch ─► receiver.receive ─► the caller
                                                      Taken(k) ─► scheduler, which begins another
"""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any

from raybatch.errors import PoolError, StateError
from raybatch.loader.fingerprint import fingerprint
from raybatch.loader.iterator import EpochIterator
from raybatch.loader.plan import Plan, Progress, Task
from raybatch.loader.progress import ProgressLine
from raybatch.loader.ranks import RankSplit
from raybatch.loader.receiver import Receiver
from raybatch.loader.stats import LoaderStats, StatsCounter, Timed, TimedRead
from raybatch.loader.watch import Watch
from raybatch.order import Shuffle
from raybatch.pools import (
    AbstractWorkerPool,
    HandOver,
    InlinePool,
    Journal,
    OrderedStream,
    Outcome,
)
from raybatch.scheduling import Prefetch, Recovery
from raybatch.sources import (
    AbstractDataSource,
    BadSampleLedger,
    BadSamples,
    Batch,
    TolerantDataSource,
    excluded,
)

STATE_VERSION = 1


class Loader:
    """Epochs of batches of `source`, made by `pool`, in an order that does not depend on the pool.

    Each `iter()` is one epoch; the next begins where it left off preparing, without a gap. An epoch that is
    left early begins again. `source` must have random access. `shuffle`: None or False for in order, True for
    a seed drawn once, an int seed, or a RandomState, a Generator or `np.random`, of which a copy is taken.
    `pool=None` makes batches in this thread when they are asked for, without Ray. `prefetch` limits what is
    made ahead; the pool has a default. `recovery` says what is done when workers are lost.

    `bad_samples` says what is done about samples that cannot be read, or that end each worker that tries:
    "raise", "skip", "replace", or a `BadSamples` with a limit to their number; the property of that name lists
    them. `exclude` leaves samples out of the data set: such a list, the path of a saved one, or an index array.

    With `split` this is one rank of several, each of which gets its part of every global batch. `last_batch`:
    "keep" a short one (ranks share it), "drop" it, or "pad" it: then every rank has the same number of full
    batches, and each batch ends with one more array, `valid`, bool `(batch_size,)`.

    `progress` shows how an epoch gets on, on the standard error, in a notebook, or where that is no terminal, in the
    log. `name` tells this loader from others in metrics and logs.

    Arrays that come from Ray actors are views of the object store, and read-only; copy one to change it.
    Iterating raises BatchError for a batch that cannot be made; going on with the same iterator gives the
    next one. Close the loader, use it in a `with`, or let go of it; it keeps its pool till then. A pickled
    loader goes on where this one is, on its own copy of the pool, or on the same one if that has a name.
    """

    def __init__(
        self,
        source: AbstractDataSource,
        batch_size: int,
        *,
        shuffle: Shuffle = False,
        last_batch: str = "keep",
        split: RankSplit | None = None,
        pool: AbstractWorkerPool | None = None,
        prefetch: Prefetch | None = None,
        recovery: Recovery | None = None,
        bad_samples: BadSamples | str = "raise",
        exclude: Any = None,
        progress: bool = False,
        name: str = "loader",
    ) -> None:
        split = RankSplit(0, 1) if split is None else split
        _check_type("split", split, RankSplit)
        if not isinstance(source, AbstractDataSource):
            raise TypeError(f"source must be a data source, not {type(source)}")
        if isinstance(source, TolerantDataSource):
            setting, source = source.setting, source.source
        else:
            setting = BadSamples.of(bad_samples)
        if exclude is not None:
            source = source.without(excluded(exclude))
        self._plan = Plan(source, batch_size, shuffle, last_batch, split)
        self._fingerprint = fingerprint(source)
        pool = InlinePool() if pool is None else pool
        _check_type("pool", pool, AbstractWorkerPool)
        if prefetch is not None:
            _check_type("prefetch", prefetch, Prefetch)
        self._prefetch = prefetch
        self._recovery = Recovery() if recovery is None else recovery
        _check_type("recovery", self._recovery, Recovery)
        self._receiver = Receiver(self._plan, setting)
        self._read = pool.shared_constant(TimedRead(self._receiver.read))
        self._counter = StatsCounter()
        self._name, self._progress = str(name), bool(progress)
        self._journal = Journal(functools.partial(_place, self._name))
        watchers = [pool.metrics(self._name), ProgressLine(self._name) if progress else None]
        self._watch = Watch(
            [watcher for watcher in watchers if watcher is not None],
            self._counter,
            self._journal,
            self._receiver.ledger,
        )
        self._pool: AbstractWorkerPool | None = pool
        self._adopts_seed = shuffle is True
        self._epoch = 0
        # What the caller has received of the epoch, and where the next `iter()` begins.
        self._received: Progress = []
        self._begin_at: Progress = []
        self._stream: OrderedStream[Task] | None = None
        self._largest_bytes = 0
        # Weak, so that an iterator is gone, and what was made for it, as soon as its loop is left.
        self._iterator: weakref.ref[EpochIterator] | None = None

    @property
    def epoch(self) -> int:
        """The number of the epoch that iterating gives, from 0; it grows when an epoch completes."""
        return self._epoch

    @property
    def bad_samples(self) -> BadSampleLedger:
        """The bad samples that were skipped or replaced so far; see `bad_samples` above."""
        return self._receiver.ledger

    @property
    def num_samples(self) -> int | float | None:
        """The number of samples in an epoch, of all ranks: an int, `np.inf`, or None if unknown."""
        return self._plan.source.num_samples()

    def stats(self) -> LoaderStats:
        """Return what was delivered so far, where the time went, and what would make it faster."""
        return self._counter.snapshot(
            HandOver() if self._stream is None else self._stream.hand_over
        )

    @property
    def batch_size(self) -> int:
        """The most samples that a batch of this rank has."""
        return self._plan.batch_size

    @property
    def batches_received(self) -> int:
        """The number of global batches of the epoch so far, those of which no sample was left included."""
        return sum(steps for _, steps in self._received)

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the one that the next `iter()` gives, from its first batch.

        For the epoch that it is at, nothing changes: after `load_state_dict` it still goes on in the middle.
        """
        number = operator.index(epoch)
        if number < 0:
            raise ValueError(f"epoch must be 0 or more, not {epoch}")
        self._close_iterator()
        if number != self._epoch:
            self._drop_stream()
            self._epoch, self._received, self._begin_at = number, [], []

    def state_dict(self) -> dict[str, Any]:
        """Return where this loader is, as a small dict that JSON can hold.

        It counts what the caller has received, not what was made ahead. TypeError for a shuffle that is no
        NumPy generator.
        """
        return {
            "version": STATE_VERSION,
            "epoch": self._epoch,
            "received": [list(part) for part in self._received],
            "shuffle": self._plan.shuffles.to_state(self._epoch),
            **self._fingerprint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the loader was that gave `state`: the next `iter()` begins with the very next batch.

        Pool, batch size and number of ranks may be others than they were: the samples that follow are those
        that had not been received, each once. StateError for a state of another version, source, sampler or
        shuffle; it names the field.
        """
        self._check_state(state)
        # Also refuses; until then nothing has changed.
        self._plan.load_shuffle(state["shuffle"], state["epoch"], adopt_seed=self._adopts_seed)
        self._close_iterator()
        self._drop_stream()
        self._epoch = state["epoch"]
        self._received = [list(part) for part in state["received"]]
        self._begin_at = self._received

    def split(self, world_size: int) -> list[Loader]:
        """Return one loader for each of `world_size` ranks, to be sent to whoever consumes it.

        They share this loader's pool if it has a name; otherwise each starts a pool like it.
        """
        if self._plan.split.world_size != 1:
            raise ValueError("this loader is one rank of a split already")
        RankSplit(0, world_size)  # refuses what is no number of ranks
        return [
            _copied(*self._copy_arguments(RankSplit(rank, world_size)))
            for rank in range(world_size)
        ]

    def serial(self) -> Loader:
        """Return a loader of the same batches without a pool, at the first of this one's epoch.

        ValueError for one rank of several.
        """
        if self._plan.split.world_size != 1:
            raise ValueError("this loader is one rank of a split; give the whole one")
        arguments, epoch, _, adopts_seed = self._copy_arguments(self._plan.split)
        return _copied({**arguments, "pool": None}, epoch, [], adopts_seed)

    def __len__(self) -> int:
        """Return the number of batches of the current epoch for this rank; TypeError if it has no end."""
        return self._plan.num_batches(self._epoch)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over one epoch, from its first batch; an iterator begun before ends here."""
        self._close_iterator()
        if self._pool is None:
            raise PoolError("the loader is closed")
        if self._stream is None:
            self._stream = OrderedStream(
                self._pool.open(self._read),
                self._plan.tasks(self._epoch, self._begin_at),
                self._limit(self._pool),
                self._recovery,
                self._receiver.payload,
                self._largest_bytes,
                self._journal,
                self._watch.wait,
            )
        self._receiver.begin_epoch()
        self._received = self._begin_at
        self._watch.begin(self._epoch, self._num_batches_left)
        iterator = EpochIterator(
            self._stream, self._receive, self._left_epoch, self._counter, self._watch
        )
        self._iterator = weakref.ref(iterator)
        return iterator

    def _num_batches_left(self) -> int | None:
        received = sum(size * steps for size, steps in self._begin_at)
        try:
            return len(self) - received // self._plan.global_batch_size
        except TypeError:
            return None  # there is no end

    def _receive(self, outcome: Outcome[Task]) -> Batch | None:
        self._note_received(outcome.item)
        if outcome.error is None:
            made: Timed = outcome.value
            self._counter.made(self._receiver.samples_in(outcome.item, made.value), made.seconds)
            outcome = replace(outcome, value=made.value)
        pool = self._pool
        on_each_host = pool.on_each_host if pool is not None and pool.spans_hosts else None
        return self._receiver.receive(outcome, self._attempt, on_each_host)

    def _attempt(self, read: Callable[[Any], Any], items: Iterable[Any]) -> list[Outcome[Any]]:
        """Have `read(item)` made for each of `items`, by the side of the stream."""
        if self._pool is None:
            raise PoolError("the loader is closed")
        limit, recovery = self._limit(self._pool), replace(self._recovery, max_attempts=2)
        return list(OrderedStream(self._pool.open(read), iter(items), limit, recovery))

    def _limit(self, pool: AbstractWorkerPool) -> Callable[[], Prefetch]:
        prefetch = self._prefetch
        return pool.default_prefetch if prefetch is None else lambda: prefetch

    def close(self) -> None:
        """Drop what was made ahead, and let go of the pool; may be called twice."""
        self._watch.end(self._stream)
        self._drop_stream()
        self._read = None
        self._pool = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, self._copy_arguments(self._plan.split)

    def _copy_arguments(self, split: RankSplit) -> tuple[Any, ...]:
        if self._pool is None:
            raise PoolError("the loader is closed")
        shuffle = self._plan.shuffles.at(self._epoch)
        arguments = {
            "source": self._plan.source,
            "batch_size": self._plan.batch_size,
            "shuffle": shuffle,
            "last_batch": self._plan.last_batch,
            "split": split,
            "pool": self._pool,
            "prefetch": self._prefetch,
            "recovery": self._recovery,
            "bad_samples": self._receiver.setting,
            "progress": self._progress,
            "name": self._name,
        }
        return arguments, self._epoch, self._received, self._adopts_seed

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_state(self, state: dict[str, Any]) -> None:
        now = {"version": STATE_VERSION, **self._fingerprint}
        for field, value in now.items():
            if state.get(field) != value:
                raise StateError(field, state.get(field), value)
        for field in ("epoch", "received", "shuffle"):
            if field not in state:
                raise StateError(field, "missing", "needed")

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._largest_bytes = self._stream.largest_bytes
            self._counter.handed_over(self._stream.hand_over)
            self._stream.close()
            self._stream = None

    def _close_iterator(self) -> None:
        iterator = None if self._iterator is None else self._iterator()
        if iterator is not None:
            iterator.close()

    def _note_received(self, task: Task) -> None:
        earlier, size = self._begin_at, self._plan.global_batch_size
        if earlier and earlier[-1][0] == size:
            earlier = earlier[:-1]  # one part, however often it was resumed
        before = sum(steps for _, steps in earlier)
        self._received = [*earlier, [size, task.step + 1 - before]]

    def _left_epoch(self, *, completed: bool, stream_goes_on: bool) -> None:
        """Note how the current epoch ended; a completed one is followed by the next."""
        self._iterator = None
        self._begin_at = []
        if completed:
            self._epoch += 1
            self._received = []
        if not stream_goes_on:
            self._drop_stream()


def _copied(arguments: dict[str, Any], epoch: int, received: Progress, adopts_seed: bool) -> Loader:
    """Return a loader that goes on where another one is."""
    loader = Loader(**arguments)
    loader._plan.shuffles.count_from(epoch)
    loader._epoch, loader._received, loader._begin_at = epoch, received, received
    loader._adopts_seed = adopts_seed
    return loader


def _place(name: str, task: Task) -> dict[str, Any]:
    return {"loader": name, "epoch": task.epoch, "batch": task.step}


def _check_type(name: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be of type {wanted.__name__}, not {value!r}")
