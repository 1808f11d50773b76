"""The batches of one epoch, from a stream that goes on beyond it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from raybatch.loader.plan import Task
from raybatch.loader.stats import StatsCounter
from raybatch.loader.watch import Watch
from raybatch.pools import OrderedStream, Outcome
from raybatch.sources import Batch


class Leave(Protocol):
    """What to call when the epoch is left: was it completed, and can the stream be used further."""

    def __call__(self, *, completed: bool, stream_goes_on: bool) -> None: ...


class EpochIterator:
    """Iterates to the end of the epoch, and tells its loader when it is left.

    `receive` makes a batch of what came of a task, None if nothing is left of it, or raises; `counter` notes how
    long the caller waited; `watch` has begun, and is ended. The epoch is completed if its last batch was delivered,
    whether or not the caller asks for another.
    """

    def __init__(
        self,
        stream: OrderedStream[Task],
        receive: Callable[[Outcome[Task]], Batch | None],
        leave: Leave,
        counter: StatsCounter,
        watch: Watch,
    ) -> None:
        self._stream = stream
        self._receive = receive
        self._leave: Leave | None = leave
        self._counter = counter
        self._watch = watch
        self._is_over = False
        self._stream_goes_on = True

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self._counter.waiting()
        batch = None
        while batch is None:  # nothing is left of a batch whose samples are all bad
            batch = self._next()
        self._counter.delivered(batch)
        self._watch.look(self._stream)
        return batch

    def _next(self) -> Batch | None:
        if self._is_over:
            self.close()
            raise StopIteration
        try:
            outcome = next(self._stream, None)
        except BaseException:
            self.close()
            raise
        if outcome is None:
            # Nothing is left of this epoch, and the stream has ended with it.
            self._is_over, self._stream_goes_on = True, False
            self.close()
            raise StopIteration
        self._is_over = outcome.item.is_last
        return self._receive(outcome)

    def close(self) -> None:
        """Leave the epoch."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            self._counter.epoch_left()
            self._watch.end(self._stream)
            leave(completed=self._is_over, stream_goes_on=self._is_over and self._stream_goes_on)

    def __del__(self) -> None:
        self.close()
