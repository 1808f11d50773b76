"""Where a loader is in its epochs, and the stream that makes what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raybatch.loader.stats import StatsCounter
from raybatch.pools import HandOver, OrderedStream

# The way through an epoch: (size of the global batches, how many steps of it), oldest first.
Way = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a consumer is: in epoch `epoch`, from 0, of which it has `received` these global batches."""

    epoch: int = 0
    received: Way = ()

    @property
    def batches(self) -> int:
        """The number of global batches received."""
        return sum(steps for _, steps in self.received)

    @property
    def samples(self) -> int:
        """The number of samples received by all ranks, a last short batch counted as full."""
        return sum(size * steps for size, steps in self.received)

    def at(self, step: int, size: int) -> Position:
        """Return the position after global batch `step` of this epoch, where an iteration from here on has `size`."""
        earlier = self.received
        if earlier and earlier[-1][0] == size:
            earlier = earlier[:-1]  # one part, however often it was resumed
        before = sum(steps for _, steps in earlier)
        return Position(self.epoch, (*earlier, (size, step + 1 - before)))

    def to_state(self) -> dict[str, Any]:
        """Return the position in a form that JSON can hold."""
        return {"epoch": self.epoch, "received": [list(part) for part in self.received]}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Position:
        """Return the position of which `to_state` gave the state."""
        return cls(state["epoch"], tuple((size, steps) for size, steps in state["received"]))


class Course:
    """The way of one consumer through the epochs, shared by a loader and its iterator.

    Its iteration over an epoch began, or will begin, at `begin`, and `step` is the number of the global batch, of `size`
    samples, that it received last, None before the first. A `stream` that goes on beyond an epoch serves the next one
    too. `counter` is told what handing over took.
    """

    def __init__(self, size: int, counter: StatsCounter) -> None:
        self.begin = self._resting = Position()
        self.step: int | None = None
        self.stream: OrderedStream | None = None
        self.largest_bytes = 0
        self._size = size
        self._counter = counter

    @property
    def position(self) -> Position:
        """What the consumer has received."""
        return self._resting if self.step is None else self.begin.at(self.step, self._size)

    @property
    def hand_over(self) -> HandOver:
        """What it took to hand over results of the stream that is there now."""
        return HandOver() if self.stream is None else self.stream.hand_over

    def move(self, position: Position) -> None:
        """Go on at `position`; what was made ahead is dropped."""
        self.drop_stream()
        self.begin = position
        self.start()

    def start(self) -> None:
        """Begin to iterate."""
        self._resting, self.step = self.begin, None

    def leave(self, *, completed: bool, stream_goes_on: bool) -> None:
        """Note that the consumer leaves the epoch; a completed one is followed by the next."""
        left = self.position
        self._resting, self.step = Position(left.epoch + 1) if completed else left, None
        self.begin = Position(self._resting.epoch)
        if not stream_goes_on:
            self.drop_stream()

    def drop_stream(self) -> None:
        """Drop what was made ahead."""
        if self.stream is not None:
            self.largest_bytes = self.stream.largest_bytes
            self._counter.handed_over(self.stream.hand_over)
            self.stream.close()
            self.stream = None
