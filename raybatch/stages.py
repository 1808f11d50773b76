"""The seconds that each stage of making a batch takes.

Code that does the work of a stage runs in `with stage("decode"):`. A caller collects the times in
`with collecting(StageTimes()) as times:`; if nobody does, a stage costs next to nothing. If a stage
runs inside another, its time counts for the inner one alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("read", "decode", "resize", "stack")


class StageTimes:
    """The seconds of each stage, by name; several threads may add to it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float) -> None:
        """Add `seconds` to the stage `name`."""
        with self._lock:
            self.seconds[name] += seconds

    def until_now(self, begun_at: float) -> dict[str, float]:
        """Return the seconds of each stage; "other" is the rest of the time since `begun_at`."""
        seconds = dict(self.seconds)
        # The stages of several threads may add up to more than the time that passed.
        seconds["other"] = max(0.0, time.perf_counter() - begun_at - sum(seconds.values()))
        return seconds


class _OfThread(threading.local):
    times: StageTimes | None = None
    stage: stage | None = None  # the innermost stage that is running


_current = _OfThread()


class stage:  # noqa: N801 - it is used like a function
    """Count the time of the block for stage `name`, one of `STAGES`."""

    __slots__ = ("_begun_at", "_inner_s", "_name", "_outer", "_times")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._times = _current.times
        if self._times is not None:
            self._outer, self._inner_s = _current.stage, 0.0
            _current.stage = self
            self._begun_at = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        if self._times is not None:
            seconds = time.perf_counter() - self._begun_at
            self._times.add(self._name, seconds - self._inner_s)
            _current.stage = self._outer
            if self._outer is not None:
                self._outer._inner_s += seconds


@contextmanager
def collecting(times: StageTimes | None) -> Iterator[StageTimes | None]:
    """Add the times of this thread's stages in the block to `times`; measure nothing for None."""
    before = _current.times, _current.stage
    _current.times, _current.stage = times, None
    try:
        yield times
    finally:
        _current.times, _current.stage = before


def collected_here() -> StageTimes | None:
    """Return the `StageTimes` of this thread, so that its helper threads can add to them too."""
    return _current.times
