"""The scheduler of one ordered stream: it takes an event and returns commands.

`states.py` explains how it works, and lists all transitions of a batch in a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raybatch.scheduling.lateness import Lateness
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
from raybatch.scheduling.settings import Prefetch, Recovery
from raybatch.scheduling.states import State
from raybatch.scheduling.window import Window


@dataclass(slots=True)
class _Batch:
    """One batch that is begun and not yet taken.

    `under_way` holds the numbers of the attempts that have not ended. `made_by` is the number of
    the attempt that made the batch. `avoid` holds the workers that a new attempt should avoid.
    `losses`, `errors` and `hedges` are counts. `reason` is the error of a batch that failed.
    """

    state: State = State.RUNNING
    under_way: set[int] = field(default_factory=lambda: {0})
    num_attempts: int = 1
    losses: int = 0
    errors: int = 0
    hedges: int = 0
    avoid: frozenset[int] = frozenset()
    made_by: int | None = None
    reason: Any = None

    def again(self, key: int) -> Submit:
        """Begin a new attempt at this batch, which has the key `key`, and return the command."""
        attempt = self.num_attempts
        self.num_attempts += 1
        self.under_way.add(attempt)
        return Submit(key, attempt, self.avoid)

    def is_late(self, silent_s: Mapping[int, float], after_s: float) -> bool:
        """Return whether the worker of every attempt is silent for `after_s` seconds or longer.

        `silent_s` maps attempts to seconds. An attempt that waits for a worker is not in it, and is
        not late.
        """
        return all(silent_s.get(attempt, 0.0) >= after_s for attempt in self.under_way)


class Scheduler:
    """Decides when each batch of a stream is begun, begun again, delivered or given up.

    `largest_bytes` is the expected size of the largest batch; 0 if unknown.
    """

    def __init__(self, prefetch: Prefetch, recovery: Recovery, largest_bytes: int = 0) -> None:
        self._window = Window(prefetch, largest_bytes)
        self._recovery = recovery
        self._lateness = Lateness(recovery)
        self._batches: dict[int, _Batch] = {}
        self._head = 0
        self._next = 0
        self._count: int | None = None
        self._progress_at = 0.0
        self._looked_at = 0.0

    @property
    def largest_bytes(self) -> int:
        """The size of the largest batch so far. Pass it to the next stream of the same batches."""
        return self._window.largest_bytes

    @property
    def made_ahead(self) -> int:
        """The number of batches that are made or given up, and wait for the consumer."""
        return self._window.made

    @property
    def window(self) -> int:
        """The number of batches that can be under way or waiting for the consumer."""
        return self._window.room

    @property
    def is_finished(self) -> bool:
        """Whether the consumer has taken the last batch."""
        return self._head == self._count

    def patience_s(self, now: float) -> float:
        """Return how many seconds to wait for an event before the event `TimePassed` is due."""
        progress_by = self._progress_at + self._recovery.no_progress_timeout_s
        # Look twice within the hedging delay, so that a hedge is late by at most half of that
        # delay.
        look_at = self._looked_at + self._lateness.hedge_after_s(0) / 2
        return max(0.0, min(progress_by, look_at) - now)

    def state_of(self, key: int) -> State:
        """Return the state of batch `key`."""
        if key in self._batches:
            return self._batches[key].state
        is_beyond_end = self._count is not None and key >= self._count
        return State.GONE if key < self._head or is_beyond_end else State.NOT_BEGUN

    def handle(self, event: Event, now: float) -> list[Command]:
        """Return what to do about `event`, which happened at `now`, in seconds on any one clock."""
        return self._react(event, now) + self._hand_over_head() + self._fill()

    def _react(self, event: Event, now: float) -> list[Command]:
        if isinstance(event, TimePassed):
            return self._look_at_clock(event.silent, now)
        self._progress_at = now
        match event:
            case Completed():
                return self._completed(event)
            case Failed():
                return self._failed(event)
            case Taken():
                self._taken(event)
            case Exhausted():
                self._count = event.count
                self._drop_from(event.count)
            case Resized():
                self._window.limit = event.prefetch
            case Started() | Wanted():
                # Put off `TimePassed`: first handle the attempts that ended while the consumer was
                # away.
                self._looked_at = now
        return []

    def _completed(self, event: Completed) -> list[Command]:
        if event.seconds is not None:
            self._lateness.add(event.seconds)
        batch = self._awaited(event)
        if batch is None:
            held = self._batches.get(event.key)
            is_duplicate = held is not None and held.made_by == event.attempt
            return [] if is_duplicate else [Discard(event.key, event.attempt)]
        batch.state, batch.made_by = State.READY, event.attempt
        self._window.settle(event.key, event.nbytes)
        return []

    def _failed(self, event: Failed) -> list[Command]:
        batch = self._awaited(event)
        if batch is None:
            return []
        batch.under_way.discard(event.attempt)
        if event.lost:
            batch.losses += event.begun
            is_over = batch.losses >= self._recovery.max_attempts
        else:
            batch.errors += 1
            is_over = batch.errors >= self._recovery.max_error_attempts
        if event.worker is not None:
            batch.avoid |= {event.worker}
        if batch.under_way and (event.lost or not is_over):
            return []
        if not is_over:
            return [batch.again(event.key)]
        self._give_up(event.key, event.reason)
        return []

    def _taken(self, event: Taken) -> None:
        if self.state_of(event.key) not in (State.DELIVERED, State.RAISED):
            raise ValueError(f"batch {event.key} was not delivered, so it cannot be taken")
        del self._batches[event.key]
        self._window.release(event.key)
        self._head += 1

    def _look_at_clock(self, silent: tuple[Silent, ...], now: float) -> list[Command]:
        self._looked_at = now
        if self.state_of(self._head) is not State.RUNNING:
            return self._kill_stuck(silent)
        if now >= self._progress_at + self._recovery.no_progress_timeout_s:
            self._progress_at = now
            self._give_up(
                self._head, TimeoutError(_no_progress(self._recovery, self._head, silent))
            )
            return []
        return self._hedge(silent) + self._kill_stuck(silent)

    def _hedge(self, silent: tuple[Silent, ...]) -> list[Command]:
        """If the head is late, submit it again, together with all other late batches.

        If only the head were submitted again, the batches of a host that is cut off would delay the
        consumer one after the other.
        """
        silent_s: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for entry in silent:
            silent_s[entry.key][entry.attempt] = entry.seconds
        late = [
            key
            for key, batch in self._batches.items()
            if batch.state is State.RUNNING
            and batch.is_late(silent_s[key], self._lateness.hedge_after_s(batch.hedges))
        ]
        if self._head not in late:
            return []
        after_s = self._lateness.hedge_after_s(0)
        late_workers = frozenset(entry.worker for entry in silent if entry.seconds >= after_s)
        for key in late:
            self._batches[key].hedges += 1
            self._batches[key].avoid |= late_workers
        return [self._batches[key].again(key) for key in late]

    def _kill_stuck(self, silent: tuple[Silent, ...]) -> list[Command]:
        commands: list[Command] = []
        # The first attempt of a worker is the one that it makes now; the others are in its queue.
        for worker, front in {entry.worker: entry for entry in reversed(silent)}.items():
            batch = self._batches.get(front.key)
            if front.seconds >= self._lateness.timeout_s(0 if batch is None else batch.losses):
                commands.append(Kill(worker))
        return commands

    def _awaited(self, event: Completed | Failed) -> _Batch | None:
        batch = self._batches.get(event.key)
        if batch is None or batch.state is not State.RUNNING:
            return None
        return batch if event.attempt in batch.under_way else None

    def _give_up(self, key: int, reason: Any) -> None:
        batch = self._batches[key]
        batch.state, batch.reason = State.FAILED, reason
        self._window.settle(key, 0)

    def _hand_over_head(self) -> list[Command]:
        head = self._batches.get(self._head)
        if head is not None and head.state is State.READY:
            assert head.made_by is not None
            head.state = State.DELIVERED
            return [Deliver(self._head, head.made_by)]
        if head is not None and head.state is State.FAILED:
            head.state = State.RAISED
            return [Raise(self._head, head.reason)]
        return []

    def _fill(self) -> list[Command]:
        commands: list[Command] = []
        while self._next != self._count and self._window.admits_another():
            self._batches[self._next] = _Batch()
            self._window.reserve(self._next)
            commands.append(Submit(self._next, 0, frozenset()))
            self._next += 1
        return commands

    def _drop_from(self, count: int) -> None:
        """Drop the batches from key `count` on, which were begun before the length was known."""
        for key in range(count, self._next):
            del self._batches[key]
            self._window.settle(key, 0)
            self._window.release(key)
        self._next = min(self._next, count)


def _no_progress(recovery: Recovery, key: int, silent: tuple[Silent, ...]) -> str:
    workers = sorted({entry.worker for entry in silent if entry.key == key})
    where = f"is on worker {', '.join(map(str, workers))}" if workers else "is on no worker yet"
    return (
        f"no progress for {recovery.no_progress_timeout_s:g} s, and the batch {where}; if a batch "
        "can take longer, set Recovery(no_progress_timeout_s=...)"
    )
