"""When a worker is late, and when it is stuck, from how long batches have taken so far."""

from __future__ import annotations

from collections import deque

from raybatch.scheduling.settings import Recovery

# Durations of so many batches are remembered, so that the limits follow what changes.
_NUM_REMEMBERED = 64

# The duration that all but a few of them stay below.
_QUANTILE = 0.95

_HEDGE_FACTOR = 3.0
_HEDGE_FLOOR_S = 0.1
_TIMEOUT_FACTOR = 50.0
_TIMEOUT_FLOOR_S = 60.0

# Before any batch has come, nobody knows how long one takes.
_FIRST_HEDGE_S = 30.0


class Lateness:
    """Keeps the durations of the latest batches, and derives the limits that `recovery` leaves open.

    Hedging at a high quantile costs little more work and cuts the tail: Dean and Barroso, The Tail at Scale,
    Communications of the ACM 56(2), 2013.
    """

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._seconds: deque[float] = deque(maxlen=_NUM_REMEMBERED)
        self._usual_s: float | None = None
        self._num_new = 0

    def add(self, seconds: float) -> None:
        """Take note that a batch took `seconds`."""
        self._seconds.append(seconds)
        self._num_new += 1

    def hedge_after_s(self, hedges: int) -> float:
        """Return how long a worker may be silent before a batch, hedged `hedges` times, is hedged."""
        after_s = self._recovery.hedge_after
        if after_s is None:
            usual_s = self._usual()
            after_s = _FIRST_HEDGE_S
            if usual_s is not None:
                after_s = max(_HEDGE_FLOOR_S, _HEDGE_FACTOR * usual_s)
        return after_s * 2.0**hedges

    def timeout_s(self, losses: int) -> float:
        """Return how long a worker may be silent before it is ended, with a batch lost `losses` times."""
        timeout_s = self._recovery.batch_timeout_s
        if timeout_s is None:
            usual_s = self._usual()
            if usual_s is None:
                return float("inf")
            timeout_s = max(_TIMEOUT_FLOOR_S, _TIMEOUT_FACTOR * usual_s)
        return timeout_s * 2.0**losses

    def _usual(self) -> float | None:
        # Looked up for every event, so not worked out anew for every batch.
        if self._num_new > len(self._seconds) // 4:
            ordered = sorted(self._seconds)
            self._usual_s = ordered[int(_QUANTILE * (len(ordered) - 1))]
            self._num_new = 0
        return self._usual_s
