"""A place in the epochs of a loader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
