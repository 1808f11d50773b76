"""The way of a consumer through its epochs, and the stream that makes what comes next."""

from __future__ import annotations

from raybatch.loader.plan import Plan
from raybatch.loader.stats import StatsCounter
from raybatch.order import Position
from raybatch.pools import HandOver, OrderedStream


class Course:
    """The way of one consumer through the epochs, shared by a loader and its iterator.

    `position` is what it has received, and `begin` where its loop over an epoch began, or the next one will. A `stream` that
    goes on beyond an epoch serves the next one too. `plan` says where epochs begin; `counter` is told what handing over took.
    """

    def __init__(self, plan: Plan, counter: StatsCounter) -> None:
        self.begin = self.position = Position()
        self.stream: OrderedStream | None = None
        self.largest_bytes = 0
        self._plan = plan
        self._counter = counter

    @property
    def hand_over(self) -> HandOver:
        """What it took to hand over results of the stream that is there now."""
        return HandOver() if self.stream is None else self.stream.hand_over

    def move(self, position: Position) -> None:
        """Go on at `position`; what was made ahead is dropped."""
        self.drop_stream()
        self.begin = self.position = position

    def start(self) -> None:
        """Begin to iterate."""
        self.position = self.begin

    def leave(self, *, completed: bool, stream_goes_on: bool) -> None:
        """Note that the consumer leaves the epoch: the next one follows, unless nothing of this one was received."""
        if completed or self.position != self.begin:
            self.begin = self._plan.walk.next_epoch(self.position)
        if completed:
            self.position = self.begin
        if not stream_goes_on and not self._is_ahead():
            self.drop_stream()

    def is_past(self, position: Position) -> bool:
        """Return whether the batch that leads to `position` is of an epoch that was left."""
        return position.epoch < self.begin.epoch

    def _is_ahead(self) -> bool:
        """Return whether something is under way already that the next loop can use."""
        under_way = () if self.stream is None else self.stream.under_way
        return any(not self.is_past(request.position) for request in under_way)

    def drop_stream(self) -> None:
        """Drop what was made ahead."""
        if self.stream is not None:
            self.largest_bytes = self.stream.largest_bytes
            self._counter.handed_over(self.stream.hand_over)
            self.stream.close()
            self.stream = None
