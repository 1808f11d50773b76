"""What the scheduler is told, and what it answers.

A batch is named by its `key`, its number in the stream from 0; an attempt to make it by `attempt`, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from raybatch.scheduling.settings import Prefetch


@dataclass(frozen=True, slots=True)
class Started:
    """The stream begins."""


@dataclass(frozen=True, slots=True)
class Resized:
    """From now on `prefetch` limits what is made ahead."""

    prefetch: Prefetch


@dataclass(frozen=True, slots=True)
class Wanted:
    """The consumer waits for the next batch."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The consumer has the batch, or the error, that was last delivered or raised."""

    key: int


@dataclass(frozen=True, slots=True)
class Completed:
    """An attempt made its batch, of `nbytes` bytes; the worker took `seconds`, if that is known."""

    key: int
    attempt: int
    nbytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed. `lost`: not the user's code failed, but its `worker`, host or result went.

    One that was lost before it had `begun`, waiting behind the one that did it, counts for nothing.
    """

    key: int
    attempt: int
    reason: Any
    lost: bool = False
    begun: bool = True
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Exhausted:
    """There are `count` batches in all."""

    count: int


@dataclass(frozen=True, slots=True)
class Silent:
    """An attempt that is with a worker, which has not been heard of for `seconds`.

    The attempts of one worker stand in the order in which it makes them.
    """

    key: int
    attempt: int
    worker: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Time to look at the clock; `silent` are all attempts that are with a worker and have not ended."""

    silent: tuple[Silent, ...] = ()


Event: TypeAlias = Started | Resized | Wanted | Taken | Completed | Failed | Exhausted | TimePassed


@dataclass(frozen=True, slots=True)
class Submit:
    """Have the batch made, if it can be on none of the workers in `avoid`."""

    key: int
    attempt: int
    avoid: frozenset[int]


@dataclass(frozen=True, slots=True)
class Deliver:
    """The consumer may have this attempt's batch."""

    key: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Raise:
    """The consumer gets `reason`, that of the last attempt, in place of the batch."""

    key: int
    reason: Any


@dataclass(frozen=True, slots=True)
class Discard:
    """Nobody needs the result of this attempt; free it."""

    key: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Kill:
    """The worker is stuck: end it, and start another."""

    worker: int


Command: TypeAlias = Submit | Deliver | Raise | Discard | Kill
