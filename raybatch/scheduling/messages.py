"""The events that the scheduler takes and the commands that it returns.

`key` is the number of a batch in its stream, from 0. `attempt` is the number of an attempt to make
that batch, from 0.
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
    """From now on, `prefetch` limits how much is made ahead."""

    prefetch: Prefetch


@dataclass(frozen=True, slots=True)
class Wanted:
    """The consumer waits for the next batch."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The consumer has received the batch or the error that was last delivered or raised."""

    key: int


@dataclass(frozen=True, slots=True)
class Completed:
    """An attempt made its batch of `nbytes` bytes. The worker took `seconds`; None if unknown."""

    key: int
    attempt: int
    nbytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed.

    `lost` is true if its `worker`, its host or its result is gone, and false if the user's code
    raised. If the worker had not `begun` a lost attempt, the loss does not count against the batch:
    a batch ahead of it in the worker's queue may have ended the worker.
    """

    key: int
    attempt: int
    reason: Any
    lost: bool = False
    begun: bool = True
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The stream has `count` batches in total."""

    count: int


@dataclass(frozen=True, slots=True)
class Silent:
    """An attempt on a worker that has been silent for `seconds`."""

    key: int
    attempt: int
    worker: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The wait that `Scheduler.patience_s` returned is over.

    `silent` lists all attempts that are on a worker and have not ended. The attempts of one worker
    are in the order in which it makes them.
    """

    silent: tuple[Silent, ...] = ()


Event: TypeAlias = Started | Resized | Wanted | Taken | Completed | Failed | Exhausted | TimePassed


@dataclass(frozen=True, slots=True)
class Submit:
    """Make the batch, if possible on a worker that is not in `avoid`."""

    key: int
    attempt: int
    avoid: frozenset[int]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give the consumer the batch that this attempt made."""

    key: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Raise:
    """Give the consumer the error `reason` instead of the batch."""

    key: int
    reason: Any


@dataclass(frozen=True, slots=True)
class Discard:
    """Free the result of this attempt; nobody needs it."""

    key: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the worker, which is stuck, and start a new one."""

    worker: int


Command: TypeAlias = Submit | Deliver | Raise | Discard | Kill
