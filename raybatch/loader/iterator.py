"""The batches of one epoch, from a stream that goes on beyond it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from raybatch.data_source import Batch
from raybatch.errors import BatchError
from raybatch.loader.plan import Task
from raybatch.work_pool import OrderedStream


class Leave(Protocol):
    """What to call when the epoch is left: was it completed, and can the stream be used further."""

    def __call__(self, *, completed: bool, stream_goes_on: bool) -> None: ...


class EpochIterator:
    """Iterates to the end of the epoch; tells its loader what was received, and when it is left.

    The epoch is completed if its last batch was delivered, whether or not the caller asks for another.
    """

    def __init__(
        self, stream: OrderedStream[Task], received: Callable[[Task], None], leave: Leave
    ) -> None:
        self._stream = stream
        self._received = received
        self._leave: Leave | None = leave
        self._is_over = False
        self._stream_goes_on = True

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
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
        task = outcome.item
        self._is_over = task.is_last
        self._received(task)
        if outcome.error is not None:
            reason = f"{type(outcome.error).__name__}: {outcome.error}"
            raise BatchError(task.epoch, task.step, reason) from outcome.error
        batch: Batch = outcome.value
        if task.padded_to is None:
            return batch
        return (*batch, np.arange(task.padded_to) < task.valid)

    def close(self) -> None:
        """Leave the epoch."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            leave(completed=self._is_over, stream_goes_on=self._is_over and self._stream_goes_on)

    def __del__(self) -> None:
        self.close()
