"""The starts of actors: when they time out, and when to try again."""

from __future__ import annotations

import logging
import time

import ray

from raybatch.errors import PoolError
from raybatch.pools.ray.hosts import ActorOptions, SetupError, why_not_started

_log = logging.getLogger(__name__)

# After 3 failed starts in a row, each further start waits longer, up to 30 s. If by then no
# actor has been up for the last 5 s, that is an error.
_MAX_FAILED_STARTS = 3
_MAX_DYING_S = 5.0
_MAX_START_DELAY_S = 30.0


class Starts:
    """Records starts that succeed and fail, and delays the next one until `not_before`.

    `not_before` is a time of `time.monotonic()`.
    """

    def __init__(self, options: ActorOptions, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.not_before = 0.0
        self._options = options
        self._none_up_since = time.monotonic()
        self._num_failed = 0
        self._why_failed = ""

    def left_s(self) -> float:
        """Return the seconds left for the first actor to start, if none is up."""
        return self._none_up_since + self.timeout_s - time.monotonic()

    def succeeded(self) -> None:
        self._num_failed = 0

    def none_is_up(self) -> None:
        """Record that the last actor that was up is gone."""
        self._none_up_since = time.monotonic()

    def failed(self, error: Exception, *, is_one_up: bool) -> None:
        """Record that an actor could not be used because of `error`.

        Raise PoolError if starts keep failing and no actor is up, or if `setup` failed.
        """
        if isinstance(error, SetupError):
            raise error
        self._num_failed += 1
        why = why_not_started(error)
        if why != self._why_failed:
            _log.warning("an actor of the pool cannot be used: %s", why)
        self._why_failed = why
        now = time.monotonic()
        excess = self._num_failed - _MAX_FAILED_STARTS
        if excess < 0:
            return
        if not is_one_up and now >= self._none_up_since + _MAX_DYING_S:
            raise PoolError(
                f"{self._num_failed} actors in a row could not be used; the last one because: {why}"
            ) from error
        self.not_before = now + min(2.0 ** min(excess, 10), _MAX_START_DELAY_S)

    def timeout(self, missing: int, size: int) -> PoolError:
        """Return the error for `missing` of `size` actors that are not up in time."""
        total, free = ray.cluster_resources(), ray.available_resources()
        wanted = {"CPU": self._options.num_cpus, **self._options.resources}
        labels = self._options.label_selector
        offers = ", ".join(
            f"{total.get(name, 0):g} {name}, {free.get(name, 0):g} of it free" for name in wanted
        )
        asks = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        where = f" on a host with the labels {labels}" if labels else ""
        why = f". The last failure: {self._why_failed}" if self._why_failed else ""
        return PoolError(
            f"{missing} of {size} actors did not start within {self.timeout_s:g} s. Each requests "
            f"{asks}{where}; the cluster has {offers}. Request less, free some, or set "
            f"start_timeout_s{why}"
        )
