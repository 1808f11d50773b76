"""What to do next: a pure state machine, without I/O, clock or randomness."""

from raybatch.scheduling.messages import (
    Command,
    Completed,
    Deliver,
    Discard,
    Event,
    Exhausted,
    Failed,
    Raise,
    Started,
    Submit,
    Taken,
    TimePassed,
    Wanted,
)
from raybatch.scheduling.scheduler import Scheduler
from raybatch.scheduling.settings import Prefetch, Recovery

__all__ = [
    "Command",
    "Completed",
    "Deliver",
    "Discard",
    "Event",
    "Exhausted",
    "Failed",
    "Prefetch",
    "Raise",
    "Recovery",
    "Scheduler",
    "Started",
    "Submit",
    "Taken",
    "TimePassed",
    "Wanted",
]
