"""Where a loader is in its epochs, and the stream that makes what comes next."""

from __future__ import annotations

from raybatch.loader.position import Position
from raybatch.loader.stats import StatsCounter
from raybatch.making import Request
from raybatch.pools import HandOver, OrderedStream


class Course:
    """The way of one consumer through the epochs, shared by a loader and its iterator.

    `position` is what the consumer has received, `begin` where its iteration over the epoch began, or will begin. A
    stream that goes on beyond an epoch serves the next one too. `counter` is told what handing over took.
    """

    def __init__(self, counter: StatsCounter) -> None:
        self.position = self.begin = Position()
        self.stream: OrderedStream | None = None
        self.largest_bytes = 0
        self._counter = counter

    @property
    def hand_over(self) -> HandOver:
        """What it took to hand over results of the stream that is there now."""
        return HandOver() if self.stream is None else self.stream.hand_over

    def move(self, position: Position) -> None:
        """Go on at `position`; what was made ahead is dropped."""
        self.drop_stream()
        self.position = self.begin = position

    def received(self, request: Request, size: int) -> None:
        """Note that the consumer has the result of `request`, one of global batches of `size` samples."""
        self.position = self.begin.at(request.step, size)

    def leave(self, *, completed: bool, stream_goes_on: bool) -> None:
        """Note that the consumer leaves the epoch; a completed one is followed by the next."""
        if completed:
            self.position = Position(self.position.epoch + 1)
        self.begin = Position(self.position.epoch)
        if not stream_goes_on:
            self.drop_stream()

    def drop_stream(self) -> None:
        """Drop what was made ahead."""
        if self.stream is not None:
            self.largest_bytes = self.stream.largest_bytes
            self._counter.handed_over(self.stream.hand_over)
            self.stream.close()
            self.stream = None
