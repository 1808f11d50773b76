"""How the starting of actors goes: how long it may take, and when to try again."""

from __future__ import annotations

import logging
import time

import ray

from raybatch.errors import PoolError
from raybatch.pools.ray.hosts import ActorOptions, SetupError, why_not_started

_log = logging.getLogger(__name__)

# After so many actors that died while they started, one after the other, the next one is started
# later and later; and if no other is there for so many seconds, that is an error.
_MAX_FAILED_STARTS = 3
_MAX_DYING_S = 5.0
_MAX_START_DELAY_S = 30.0


class Starts:
    """Takes note of starts that succeed and fail. The next is `not_before`, by the monotonic clock."""

    def __init__(self, options: ActorOptions, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.not_before = 0.0
        self._options = options
        self._none_up_since = time.monotonic()
        self._num_failed = 0
        self._why_failed = ""

    def left_s(self) -> float:
        """Return how long the first actor may still take, where none is up."""
        return self._none_up_since + self.timeout_s - time.monotonic()

    def succeeded(self) -> None:
        self._num_failed = 0

    def none_is_up(self) -> None:
        """Take note that the last actor that was up is gone."""
        self._none_up_since = time.monotonic()

    def failed(self, error: Exception, *, is_one_up: bool) -> None:
        """Take note that an actor could not be used because of `error`; PoolError if that is all there is to expect."""
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
                f"{self._num_failed} actors could not be used, one after the other; the last because: {why}"
            ) from error
        self.not_before = now + min(2.0 ** min(excess, 10), _MAX_START_DELAY_S)

    def timeout(self, missing: int, size: int) -> PoolError:
        """Return the error that `missing` of `size` actors are not up in time."""
        total, free = ray.cluster_resources(), ray.available_resources()
        wanted = {"CPU": self._options.num_cpus, **self._options.resources}
        labels = self._options.label_selector
        offers = ", ".join(
            f"{total.get(name, 0):g} {name}, {free.get(name, 0):g} of it free" for name in wanted
        )
        asks = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        where = f" on a host with the labels {labels}" if labels else ""
        why = f". The last that could not be used: {self._why_failed}" if self._why_failed else ""
        return PoolError(
            f"{missing} of {size} actors did not start within {self.timeout_s:g} s. Each asks for "
            f"{asks}{where}; the cluster has {offers}. Ask for less, free some, or set start_timeout_s{why}"
        )
