"""A consumer's progress through the epochs, and the stream that makes the next batches."""

from __future__ import annotations

from raybatch.loader.plan import Plan
from raybatch.loader.stats import StatsCounter
from raybatch.order.position import Position
from raybatch.pools.session import HandOver
from raybatch.pools.stream import OrderedStream


class Course:
    """A consumer's progress through the epochs, shared by a loader and its iterator.

    `position` is what the consumer has received. `begin` is where its loop over an epoch began, or
    where the next loop will begin. A `stream` that continues beyond an epoch serves the next epoch
    too. `plan` says where epochs begin; `counter` receives the cost of handing over batches.
    """

    def __init__(self, plan: Plan, counter: StatsCounter) -> None:
        self.begin = self.position = Position()
        self.stream: OrderedStream | None = None
        self.largest_bytes = 0
        self._plan = plan
        self._counter = counter

    @property
    def hand_over(self) -> HandOver:
        """The cost of handing over results of the current stream."""
        return HandOver() if self.stream is None else self.stream.hand_over

    def move(self, position: Position) -> None:
        """Continue at `position`, and drop the batches made ahead."""
        self.drop_stream()
        self.begin = self.position = position

    def start(self) -> None:
        """Record that a loop over the epoch begins."""
        self.position = self.begin

    def leave(self, *, completed: bool, stream_goes_on: bool) -> None:
        """Record that the consumer leaves the epoch.

        The next loop begins the next epoch, or this one again if none of its batches was received.
        """
        if completed or self.position != self.begin:
            self.begin = self._plan.walk.next_epoch(self.position)
        if completed:
            self.position = self.begin
        if not stream_goes_on and not self._is_ahead():
            self.drop_stream()

    def is_past(self, position: Position) -> bool:
        """Return whether the batch that leads to `position` belongs to an epoch that was left."""
        return position.epoch < self.begin.epoch

    def _is_ahead(self) -> bool:
        """Return whether a batch that the next loop can use is under way."""
        under_way = () if self.stream is None else self.stream.under_way
        return any(not self.is_past(request.position) for request in under_way)

    def drop_stream(self) -> None:
        """Drop the batches made ahead."""
        if self.stream is not None:
            self.largest_bytes = self.stream.largest_bytes
            self._counter.handed_over(self.stream.hand_over)
            self.stream.close()
            self.stream = None
