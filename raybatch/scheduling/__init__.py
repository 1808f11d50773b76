"""What to do next: a pure state machine, without I/O, clock or randomness."""

from raybatch.scheduling.messages import (
    Command,
    Completed,
    Deliver,
    Discard,
    Event,
    Exhausted,
    Failed,
    Kill,
    Raise,
    Resized,
    Silent,
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
    "Kill",
    "Prefetch",
    "Raise",
    "Recovery",
    "Resized",
    "Scheduler",
    "Silent",
    "Started",
    "Submit",
    "Taken",
    "TimePassed",
    "Wanted",
]
