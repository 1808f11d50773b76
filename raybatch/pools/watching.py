"""What may be watched of a loader while it loads, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Figures:
    """What a loader has done since it was made, and its window as it is now.

    `images`, `batches` and `nbytes` were delivered; `waited_s` includes the wait that is going on. `stages` has the
    workers' seconds by stage. `made_ahead` of at most `window` batches are made and wait for the consumer.
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
    """Is shown the figures of a loader, about every `every_s` seconds while a loop over it runs.

    It is called in the consumer's thread, and by one loader only.
    """

    every_s: float

    def begin(self, epoch: int, num_batches: Callable[[], int | None], figures: Figures) -> None:
        """Take note that a loop begins over `num_batches()` batches, which may take a while; None: without end."""
        ...

    def show(self, figures: Figures) -> None:
        """Show the figures as they are now."""
        ...

    def end(self, figures: Figures) -> None:
        """Take note that the loop is left, however; called once after each `begin`."""
        ...
