"""One actor of a pool: where it is, what it was asked, and whether it lags behind."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from raybatch.pools.ray.host import WorkerFacts

# A worker that takes so many times as long as the fastest, and so many seconds at least, is a laggard: a batch
# that it is given is waited for longer than another worker would take to get round to it. It rests for so many
# times as long as its last batch took, and then is tried again.
_LAGGARD_FACTOR = 8.0
_MIN_LAGGARD_S = 0.1
_LAGGARD_REST = 4.0


@dataclass(eq=False)
class RayMember:
    """One actor, and the references to what it was asked and has not been seen to answer, oldest first.

    `facts` say where it runs, None until it is up. Its host is to go when it `is_leaving`. `heard_at` is when it
    last took up or answered anything, in seconds of the monotonic clock; `seconds` is what its latest batch took.
    When it `is_gone`, `died_on` is the one that it was busy with. `kept` are the keys of the constants it has.
    """

    number: int
    actor: Any
    ready: Any
    facts: WorkerFacts | None = None
    is_leaving: bool = False
    is_gone: bool = False
    heard_at: float = 0.0
    seconds: float | None = None
    queue: dict[Any, None] = field(default_factory=dict)
    died_on: Any = None
    kept: set[str] = field(default_factory=set)

    @property
    def is_up(self) -> bool:
        return self.facts is not None

    def is_laggard(self, fastest_s: float, now: float) -> bool:
        """Return whether it is to rest, where another worker makes a batch in `fastest_s`."""
        if self.seconds is None or self.seconds < max(_MIN_LAGGARD_S, _LAGGARD_FACTOR * fastest_s):
            return False
        return bool(self.queue) or now - self.heard_at < _LAGGARD_REST * self.seconds


def fastest_s(members: Iterable[RayMember]) -> float:
    """Return how many seconds the fastest takes for a batch of those that are not stuck."""
    now = time.monotonic()
    return min(
        (
            member.seconds
            for member in members
            if member.seconds is not None
            and (not member.queue or now - member.heard_at < _LAGGARD_FACTOR * member.seconds)
        ),
        default=float("inf"),
    )
