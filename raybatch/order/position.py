"""Where a consumer is in the order of the samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

# The way through a pass: (size of the global batches, how many steps of it), oldest first.
Way = tuple[tuple[int, int], ...]
# The names of members of a mixture, and how many samples each is ahead of its weights.
Ahead = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a consumer is: in epoch `epoch`, from 0, of which it has received `batches` global batches.

    The order is a row of passes over the source. This is in pass `pass_number`, from 0, after the steps in `received`. An
    epoch is a pass, unless epochs have a number of batches of their own. `ahead` has by how many
    samples members of a mixture are ahead of their weights in this pass, because the weights were
    others before.
    """

    epoch: int = 0
    batches: int = 0
    pass_number: int = 0
    received: Way = ()
    ahead: Ahead = ()

    @classmethod
    def of_pass(cls, number: int) -> Position:
        """Return the start of pass `number`, where each pass is an epoch."""
        return cls(number, 0, number)

    @property
    def steps(self) -> int:
        """The number of steps of the pass that have been taken."""
        return sum(steps for _, steps in self.received)

    @property
    def samples(self) -> int:
        """The number of samples of the pass that all ranks have received, a last short batch counted as full."""
        return sum(size * steps for size, steps in self.received)

    def moved(self, size: int, steps: int, batches: int) -> Position:
        """Return the position `steps` steps of `size` further on in the pass, which are `batches` batches of the epoch."""
        earlier = self.received
        batches += self.batches
        if earlier and earlier[-1][0] == size:  # one part, however often it was resumed
            earlier, steps = earlier[:-1], earlier[-1][1] + steps
        received = (*earlier, (size, steps)) if steps else earlier
        return replace(self, batches=batches, received=received)

    def to_state(self, *, is_plain: bool) -> dict[str, Any]:
        """Return the position in a form that JSON can hold; if it `is_plain`, each epoch is a pass, and it says no more."""
        received = [list(part) for part in self.received]
        state: dict[str, Any] = {"epoch": self.epoch, "received": received}
        return state if is_plain else state | {"batches": self.batches, "pass": self.pass_number}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Position:
        """Return the position of which `to_state` gave the state."""
        epoch = state["epoch"]
        received = tuple((size, steps) for size, steps in state["received"])
        batches = sum(steps for _, steps in received)
        return cls(epoch, state.get("batches", batches), state.get("pass", epoch), received)
