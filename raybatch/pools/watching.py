"""The figures of a loader while it loads, and the interface of a watcher that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Figures:
    """The totals of a loader since it was constructed, and the current state of its window.

    `images`, `batches` and `nbytes` count what was delivered. `waited_s` includes a wait that is
    still going on. `stages` maps each stage to the workers' seconds. `made_ahead` is the number of
    batches, at most `window`, that are made and wait for the consumer.
    """

    images: int
    batches: int
    nbytes: int
    waited_s: float
    stages: Mapping[str, float]
    retries: int
    hedges: int
    bad_samples: int
    made_ahead: int = 0
    window: int = 0


class Watcher(Protocol):
    """Gets the figures of a loader about every `every_s` seconds while a loop over it runs.

    Its methods are called in the consumer's thread, and by one loader only.
    """

    every_s: float

    def begin(self, epoch: int, num_batches: Callable[[], int | None], figures: Figures) -> None:
        """Record that a loop over an epoch begins.

        `num_batches()` returns the number of its batches, or None if it has no end. The call can be
        slow.
        """
        ...

    def show(self, figures: Figures) -> None:
        """Show the current figures."""
        ...

    def end(self, figures: Figures) -> None:
        """Record that the loop has ended, for any reason; called once after each `begin`."""
        ...
