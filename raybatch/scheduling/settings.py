"""Settings of a stream: frozen values, checked when they are made."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prefetch:
    """How much is made ahead of the consumer: at most `batches`, and at most `bytes` (None: no limit).

    The batch that the consumer waits for is always made, however large.
    """

    batches: int
    bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", _positive("Prefetch.batches", self.batches))
        if self.bytes is not None:
            object.__setattr__(self, "bytes", _positive("Prefetch.bytes", self.bytes))


@dataclass(frozen=True)
class Recovery:
    """What to do when batches do not come.

    A batch whose worker, host or result is lost is made again, `max_attempts` times in all. If the consumer
    waits and nothing at all happens for `no_progress_timeout_s` seconds, it gets an error.
    """

    max_attempts: int = 3
    no_progress_timeout_s: float = 600.0

    def __post_init__(self) -> None:
        attempts = _positive("Recovery.max_attempts", self.max_attempts)
        object.__setattr__(self, "max_attempts", attempts)
        if not self.no_progress_timeout_s > 0:
            raise ValueError(
                f"Recovery.no_progress_timeout_s must be above 0, not {self.no_progress_timeout_s}"
            )


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    count = operator.index(value)
    if count < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return count
