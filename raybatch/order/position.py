"""The position of a consumer in the order of the samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

# The steps of a pass, oldest first: pairs (size of the global batches, number of steps).
Way = tuple[tuple[int, int], ...]
# The names of the members of a mixture, with the number of samples each is ahead of its weights.
Ahead = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Position:
    """A consumer's position: it has received `batches` global batches of epoch `epoch` (from 0).

    The order is a sequence of passes over the source. This position is in pass `pass_number` (from
    0), after the steps in `received`. An epoch is one pass, unless the loader has
    `batches_per_epoch`. `ahead` says by how many samples members of a mixture are ahead of their
    weights in this pass, because the weights were different before.
    """

    epoch: int = 0
    batches: int = 0
    pass_number: int = 0
    received: Way = ()
    ahead: Ahead = ()

    @classmethod
    def of_pass(cls, number: int) -> Position:
        """Return the start of pass `number`, if each epoch is a pass."""
        return cls(number, 0, number)

    @property
    def steps(self) -> int:
        """The number of steps taken in this pass."""
        return sum(steps for _, steps in self.received)

    @property
    def samples(self) -> int:
        """The number of samples of this pass that the ranks have received together.

        A short batch counts as full.
        """
        return sum(size * steps for size, steps in self.received)

    def moved(self, size: int, steps: int, batches: int) -> Position:
        """Return the position after `steps` steps of `size`, which are `batches` batches."""
        earlier = self.received
        batches += self.batches
        if earlier and earlier[-1][0] == size:  # still one pair after many resumes
            earlier, steps = earlier[:-1], earlier[-1][1] + steps
        received = (*earlier, (size, steps)) if steps else earlier
        return replace(self, batches=batches, received=received)

    def to_state(self, *, is_plain: bool) -> dict[str, Any]:
        """Return the position in a form that JSON can hold.

        With `is_plain`, each epoch is one pass, so the pass number is left out.
        """
        received = [list(part) for part in self.received]
        state: dict[str, Any] = {"epoch": self.epoch, "received": received}
        return state if is_plain else state | {"batches": self.batches, "pass": self.pass_number}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Position:
        """Return the position with the state `state`, as `to_state` returns it."""
        epoch = state["epoch"]
        received = tuple((size, steps) for size, steps in state["received"])
        batches = sum(steps for _, steps in received)
        return cls(epoch, state.get("batches", batches), state.get("pass", epoch), received)
