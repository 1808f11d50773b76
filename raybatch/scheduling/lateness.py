"""Decides when a worker is late and when it is stuck, from the durations of earlier batches."""

from __future__ import annotations

from collections import deque

from raybatch.scheduling.settings import Recovery

# Only the latest durations count, so that the limits adapt when batches become slower or faster.
_NUM_REMEMBERED = 64

# The limits are multiples of the 95th percentile.
_QUANTILE = 0.95

_HEDGE_FACTOR = 3.0
_HEDGE_FLOOR_S = 0.1
_TIMEOUT_FACTOR = 50.0
_TIMEOUT_FLOOR_S = 60.0

# Used until the first batch is made, while no duration is known.
_FIRST_HEDGE_S = 30.0


class Lateness:
    """Computes the limits that `recovery` does not set, from the durations of the latest batches.

    Hedging at a high percentile adds little work and cuts the tail latency: Dean and Barroso, The
    Tail at Scale, Communications of the ACM 56(2), 2013.
    """

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._seconds: deque[float] = deque(maxlen=_NUM_REMEMBERED)
        self._usual_s: float | None = None
        self._num_new = 0

    def add(self, seconds: float) -> None:
        """Record that a batch took `seconds`."""
        self._seconds.append(seconds)
        self._num_new += 1

    def hedge_after_s(self, hedges: int) -> float:
        """Return how long a worker can be silent before its batch is hedged.

        The time doubles with each of the `hedges` that the batch has had already.
        """
        after_s = self._recovery.hedge_after
        if after_s is None:
            usual_s = self._usual()
            after_s = _FIRST_HEDGE_S
            if usual_s is not None:
                after_s = max(_HEDGE_FLOOR_S, _HEDGE_FACTOR * usual_s)
        return after_s * 2.0**hedges

    def timeout_s(self, losses: int) -> float:
        """Return how long a worker can be silent before it is ended.

        The time doubles with each of the `losses` of its batch. It is infinite until the first
        batch is made, unless `recovery` sets it.
        """
        timeout_s = self._recovery.batch_timeout_s
        if timeout_s is None:
            usual_s = self._usual()
            if usual_s is None:
                return float("inf")
            timeout_s = max(_TIMEOUT_FLOOR_S, _TIMEOUT_FACTOR * usual_s)
        return timeout_s * 2.0**losses

    def _usual(self) -> float | None:
        # Every event asks for this, so sort only after a quarter of the durations has changed.
        if self._num_new > len(self._seconds) // 4:
            ordered = sorted(self._seconds)
            self._usual_s = ordered[int(_QUANTILE * (len(ordered) - 1))]
            self._num_new = 0
        return self._usual_s
