"""Decides what to do next: a pure state machine without I/O, clock or randomness.

`states.py` explains how it works and lists its transitions.
"""

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
from raybatch.scheduling.placement import Attempt, Placed, Placement, Worker, Workers
from raybatch.scheduling.scheduler import Scheduler
from raybatch.scheduling.settings import Prefetch, Recovery

__all__ = [
    "Attempt",
    "Command",
    "Completed",
    "Deliver",
    "Discard",
    "Event",
    "Exhausted",
    "Failed",
    "Kill",
    "Placed",
    "Placement",
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
    "Worker",
    "Workers",
]
