"""Where the time of a batch goes: the seconds that each stage of making it took.

Code that does a stage's work says so, `with stage("decode"):`, and whoever wants to know collects it, `with
collecting(StageTimes()) as times:`. Where nobody does, a stage costs next to nothing. A stage inside another counts
alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("read", "decode", "resize", "stack")


class StageTimes:
    """Seconds by the name of the stage, to which several threads may add."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float) -> None:
        """Add to a stage."""
        with self._lock:
            self.seconds[name] += seconds

    def until_now(self, begun_at: float) -> dict[str, float]:
        """Return the seconds by stage of work that began at `begun_at`; "other" is what belongs to none."""
        seconds = dict(self.seconds)
        # Rows that are made on several threads take more in sum than the batch.
        seconds["other"] = max(0.0, time.perf_counter() - begun_at - sum(seconds.values()))
        return seconds


class _OfThread(threading.local):
    times: StageTimes | None = None
    stage: stage | None = None  # the innermost one that is being done


_current = _OfThread()


class stage:  # noqa: N801 - it is used as a function is
    """The time of the block is that of stage `name`, one of `STAGES`."""

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
    """Let the stages that this thread does inside the block add to `times`; None: to nothing."""
    before = _current.times, _current.stage
    _current.times, _current.stage = times, None
    try:
        yield times
    finally:
        _current.times, _current.stage = before


def collected_here() -> StageTimes | None:
    """Return what the stages of this thread add to, for other threads that do its work."""
    return _current.times
