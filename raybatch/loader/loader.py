"""The ordered iterator over epochs of batches.

The way of one batch:

    plan.tasks ─► scheduler ─Submit─► pool session ─► worker: source.samples_by_indices_nomapping(indices)
                      ▲                    │
                      ├──── Completed ◄────┘          (the bytes stay where the worker put them)
                      └─Deliver(k)─► session.fetch ─► the caller;  Taken(k) ─► scheduler, which begins another
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterator
from types import TracebackType

from raybatch.data_source import AbstractDataSource, Batch
from raybatch.errors import BatchError, PoolError
from raybatch.loader.plan import Plan, Task
from raybatch.sampling import Shuffle
from raybatch.scheduling import Prefetch, Recovery
from raybatch.work_pool import AbstractWorkerPool, InlinePool, OrderedStream


class Loader:
    """Epochs of batches of `source`, made by `pool`, in an order that does not depend on the pool.

    Each `iter()` is one epoch; the next begins where it left off preparing, without a gap. An epoch that is
    left early begins again. `source` must have random access. `shuffle`: None or False for in order, True for
    a seed drawn once, an int seed, or a RandomState, a Generator or `np.random`, of which a copy is taken.
    `pool=None` makes batches in this thread when they are asked for, without Ray. `prefetch` limits what is
    made ahead; the pool has a default. `recovery` says what is done when workers are lost.

    Arrays that come from Ray actors are views of the object store, and read-only; copy one to change it.
    Iterating raises BatchError for a batch that cannot be made; going on with the same iterator gives the
    next one. Close the loader, use it in a `with`, or let go of it; it keeps its pool till then.
    """

    def __init__(
        self,
        source: AbstractDataSource,
        batch_size: int,
        *,
        shuffle: Shuffle = False,
        pool: AbstractWorkerPool | None = None,
        prefetch: Prefetch | None = None,
        recovery: Recovery | None = None,
    ) -> None:
        self._plan = Plan(source, batch_size, shuffle)
        pool = InlinePool() if pool is None else pool
        _check_type("pool", pool, AbstractWorkerPool)
        self._prefetch = pool.default_prefetch() if prefetch is None else prefetch
        _check_type("prefetch", self._prefetch, Prefetch)
        self._recovery = Recovery() if recovery is None else recovery
        _check_type("recovery", self._recovery, Recovery)
        self._read = pool.shared_constant(source.samples_by_indices_nomapping)
        self._pool: AbstractWorkerPool | None = pool
        self._epoch = 0
        self._stream: OrderedStream[Task] | None = None
        # Weak, so that an iterator is gone, and what was made for it, as soon as its loop is left.
        self._iterator: weakref.ref[_EpochIterator] | None = None

    @property
    def epoch(self) -> int:
        """The number of the epoch that iterating gives, from 0; it grows when an epoch completes."""
        return self._epoch

    @property
    def num_samples(self) -> int | float | None:
        """The number of samples in an epoch: an int, `np.inf`, or None if unknown."""
        return self._plan.source.num_samples()

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the one that the next `iter()` gives."""
        number = operator.index(epoch)
        if number < 0:
            raise ValueError(f"epoch must be 0 or more, not {epoch}")
        self._close_iterator()
        if number != self._epoch:
            self._drop_stream()
            self._epoch = number

    def __len__(self) -> int:
        """Return the number of batches of the current epoch; TypeError if it has no end."""
        return self._plan.num_batches(self._epoch)

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over one epoch, from its first batch; an iterator begun before ends here."""
        self._close_iterator()
        if self._pool is None:
            raise PoolError("the loader is closed")
        if self._stream is None:
            self._stream = OrderedStream(
                self._pool.open(self._read),
                self._plan.tasks(self._epoch),
                self._prefetch,
                self._recovery,
                payload=operator.attrgetter("indices"),
            )
        iterator = _EpochIterator(self, self._stream)
        self._iterator = weakref.ref(iterator)
        return iterator

    def close(self) -> None:
        """Drop what was made ahead, and let go of the pool; may be called twice."""
        self._drop_stream()
        self._read = None
        self._pool = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _close_iterator(self) -> None:
        iterator = None if self._iterator is None else self._iterator()
        if iterator is not None:
            iterator.close()

    def _leave_epoch(self, *, completed: bool) -> None:
        """Note how the current epoch ended; the stream goes on into the next one if it is completed."""
        self._iterator = None
        if completed:
            self._epoch += 1
        else:
            self._drop_stream()


class _EpochIterator:
    """The batches of one epoch, from a stream that goes on beyond it."""

    def __init__(self, loader: Loader, stream: OrderedStream[Task]) -> None:
        self._loader: Loader | None = loader
        self._stream = stream
        self._has_delivered_last = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._has_delivered_last:
            self.close()
            raise StopIteration
        outcome = next(self._stream, None)
        if outcome is None:
            # The source is empty.
            self._has_delivered_last = True
            self.close()
            raise StopIteration
        task = outcome.item
        self._has_delivered_last = task.is_last
        if outcome.error is not None:
            reason = f"{type(outcome.error).__name__}: {outcome.error}"
            raise BatchError(task.epoch, task.batch, reason) from outcome.error
        batch: Batch = outcome.value
        return batch

    def close(self) -> None:
        """Leave the epoch: completed if its last batch was delivered."""
        if self._loader is not None:
            self._loader._leave_epoch(completed=self._has_delivered_last)
            self._loader = None

    def __del__(self) -> None:
        self.close()


def _check_type(name: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be of type {wanted.__name__}, not {value!r}")
