"""The states of a batch, and the table of their transitions.

How the scheduler works
=======================

The scheduler decides when each batch of an ordered stream is begun, begun again, delivered or given
up. It takes an event and returns commands. It does no I/O, reads no clock and draws no random
numbers: the caller carries out the commands, and passes the time in with each event.

Batches have keys 0, 1, 2, ... The **head** is the batch that the consumer gets next. The **window**
limits how many batches, and how many bytes, are begun and not yet taken. An **attempt** is one try
of one worker to make a batch. A batch can have several attempts under way at the same time, and the
first result counts.

Each batch is a small state machine:

    NOT_BEGUN ──► RUNNING ──► READY ──► DELIVERED ──► GONE
                  │  ▲  └───► FAILED ─► RAISED ─────► GONE
                  └──┘ again

There are two kinds of transitions. `TRANSITIONS` is the full table of both:

- An event triggers a transition: an attempt completed or failed, the consumer took a batch, time
  passed.
- A condition triggers a transition (`event` is None in the table). After every event, the scheduler
  delivers the head if it is READY, raises its error if it is FAILED, and begins batches while the
  window has room. It does not matter which event made the condition true.

An event that the table does not list for a state changes nothing and returns no command for that
batch. So a result that arrives twice, or an attempt that fails after another has made the batch,
does no harm.

Whether a failed batch is made again depends on its budget. `Recovery.max_attempts` limits how often
its worker, its host or its result can be lost. `Recovery.max_error_attempts` limits how often the
user's code can raise. While another attempt is under way, a lost attempt is not replaced, and the
batch does not fail yet: the other attempt may still succeed.

Three deadlines keep the stream going; `lateness.py` computes the first two from the durations so
far:

1. **Late.** The consumer waits for the head, and all workers that have it are silent for too long.
   Another worker makes it too (a hedge). Later batches that are just as late are hedged at the same
   time. Otherwise, the batches of a host that is cut off would delay the consumer one after the
   other.
2. **Stuck.** A worker is silent for much longer than that. `Kill` ends it. This changes no batch by
   itself: the pool then reports the worker's attempts as `Failed`.
3. **No progress.** The consumer waits for the head, and no event arrives at all. The head fails.

These laws hold after every event:

- Batches are begun in the order of their keys. They are delivered or raised in that order, each
  once.
- The batches that are begun and not yet taken fit the window. The head is always admitted, however
  large.
- A batch that is RUNNING has an attempt under way.
- Each result is either delivered or discarded, never both.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from raybatch.scheduling.messages import (
    Command,
    Completed,
    Deliver,
    Discard,
    Event,
    Exhausted,
    Failed,
    Raise,
    Submit,
    Taken,
    TimePassed,
)


class State(Enum):
    """Where a batch is on its way to the consumer."""

    NOT_BEGUN = auto()
    RUNNING = auto()  # at least one attempt is under way
    READY = auto()  # made, and waits for the batches before it
    FAILED = auto()  # given up, and waits for the batches before it
    DELIVERED = auto()  # the consumer can fetch the batch
    RAISED = auto()  # the consumer can fetch the error
    GONE = auto()  # taken by the consumer, or beyond the end of the stream


class Transition(NamedTuple):
    """`event` moves a batch to the state `after` if `condition` holds, and returns `command`."""

    event: type[Event] | None  # None: the condition alone triggers it
    condition: str
    after: State
    command: type[Command] | None = None


TRANSITIONS: dict[State, tuple[Transition, ...]] = {
    State.NOT_BEGUN: (
        Transition(None, "the window has room", State.RUNNING, Submit),
        Transition(Exhausted, "the key is beyond the last batch", State.GONE),
    ),
    State.RUNNING: (
        Transition(Completed, "the attempt is under way", State.READY),
        Transition(Completed, "the attempt was reported as failed", State.RUNNING, Discard),
        Transition(Failed, "budget left, no other attempt under way", State.RUNNING, Submit),
        Transition(Failed, "budget spent", State.FAILED),
        Transition(TimePassed, "the head is late, and this batch too", State.RUNNING, Submit),
        Transition(TimePassed, "this is the head, no progress", State.FAILED),
        Transition(Exhausted, "the key is beyond the last batch", State.GONE),
    ),
    State.READY: (
        Transition(None, "this is the head", State.DELIVERED, Deliver),
        Transition(Completed, "another attempt made the batch", State.READY, Discard),
    ),
    State.FAILED: (
        Transition(None, "this is the head", State.RAISED, Raise),
        Transition(Completed, "always", State.FAILED, Discard),
    ),
    State.DELIVERED: (
        Transition(Taken, "always", State.GONE),
        Transition(Completed, "another attempt made the batch", State.DELIVERED, Discard),
    ),
    State.RAISED: (
        Transition(Taken, "always", State.GONE),
        Transition(Completed, "always", State.RAISED, Discard),
    ),
    State.GONE: (Transition(Completed, "always", State.GONE, Discard),),
}
