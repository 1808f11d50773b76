"""The scheduler of one ordered stream: an event in, commands out.

A batch, by its key, is in one of these states:

    (not begun) ──Submit──► RUNNING ──Completed──► READY ──Deliver──► (with the consumer) ──Taken──► (gone)
                            │     ▲
                            │     ├─ Failed, budget left: Submit again, avoiding that worker
                            │     └─ the consumer waits and its workers are silent: Submit one attempt more
                            └─ Failed otherwise ──► FAILED ──Raise──► (with the consumer) ──Taken──► (gone)

Laws, in every state: batches are begun in the order of their keys, delivered or raised in that order, each
once; those begun and not taken fit the window; a batch that is RUNNING has an attempt under way; a result of
an attempt that nobody waits for is discarded and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
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
from raybatch.scheduling.window import Window


class _State(Enum):
    RUNNING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Batch:
    state: _State = _State.RUNNING
    under_way: set[int] = field(default_factory=lambda: {0})
    num_attempts: int = 1
    losses: int = 0
    errors: int = 0
    hedges: int = 0
    avoid: frozenset[int] = frozenset()
    made_by: int | None = None
    reason: Any = None


class Scheduler:
    """Decides when each batch of a stream is begun, begun again, delivered or given up."""

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
        """The size of the largest batch so far, which a later stream of the same batches begins with."""
        return self._window.largest_bytes

    @property
    def made_ahead(self) -> int:
        """How many batches are made, or given up, and wait for the consumer."""
        return self._window.made

    @property
    def window(self) -> int:
        """How many batches may be under way and made ahead."""
        return self._window.room

    @property
    def is_finished(self) -> bool:
        """Whether the consumer has taken the last batch."""
        return self._head == self._count

    def patience_s(self, now: float) -> float:
        """Return for how many seconds from `now` to wait for an event before `TimePassed` is due."""
        progress_by = self._progress_at + self._recovery.no_progress_timeout_s
        # Twice in the time after which a batch is hedged, so that it is at most half of that late.
        look_at = self._looked_at + self._lateness.hedge_after_s(0) / 2
        return max(0.0, min(progress_by, look_at) - now)

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take `event`, which happened at `now` (seconds on any one clock), and return what to do."""
        if isinstance(event, TimePassed):
            return self._look_at_clock(event.silent, now)
        self._progress_at = now
        match event:
            case Completed():
                return self._completed(event)
            case Taken():
                return self._taken(event)
            case Failed():
                return self._failed(event)
            case Exhausted():
                self._count = event.count
                self._drop_from(event.count)
                return []
            case Started():
                self._looked_at = now
                return self._fill()
            case Resized():
                self._window.limit = event.prefetch
                return self._fill()
            case Wanted():
                # What ended while the consumer was away comes first.
                self._looked_at = now
                return []

    def _completed(self, event: Completed) -> list[Command]:
        if event.seconds is not None:
            self._lateness.add(event.seconds)
        batch = self._awaited(event)
        if batch is None:
            held = self._batches.get(event.key)
            is_told_twice = held is not None and held.made_by == event.attempt
            return [] if is_told_twice else [Discard(event.key, event.attempt)]
        batch.state, batch.made_by = _State.READY, event.attempt
        self._window.settle(event.key, event.nbytes)
        # The size of the first batch may make room for more.
        return (self._hand_over_head() if event.key == self._head else []) + self._fill()

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
        return (
            self._give_up(event.key, batch, event.reason) if is_over else [self._again(event.key)]
        )

    def _taken(self, event: Taken) -> list[Command]:
        if event.key != self._head or self._batches[event.key].state is _State.RUNNING:
            raise ValueError(f"batch {event.key} was not delivered, so it cannot be taken")
        del self._batches[event.key]
        self._window.release(event.key)
        self._head += 1
        return self._hand_over_head() + self._fill()

    def _look_at_clock(self, silent: tuple[Silent, ...], now: float) -> list[Command]:
        self._looked_at = now
        batch = self._batches.get(self._head)
        if batch is None or batch.state is not _State.RUNNING:
            return self._kill_stuck(silent)
        if now >= self._progress_at + self._recovery.no_progress_timeout_s:
            self._progress_at = now
            reason = TimeoutError(_no_progress(self._recovery, self._head, silent))
            return self._give_up(self._head, batch, reason)
        return self._hedge(silent) + self._kill_stuck(silent)

    def _hedge(self, silent: tuple[Silent, ...]) -> list[Command]:
        """Have the head made by one worker more, if all that have it are late, and what is as late with it.

        One after the other, the batches of a whole host that is cut off would each hold up the consumer. An
        attempt that waits for a place at a worker is not late.
        """
        with_workers = {(entry.key, entry.attempt): entry for entry in silent}
        head = self._batches[self._head]
        if not self._is_late(self._head, head, with_workers):
            return []
        after_s = self._lateness.hedge_after_s(0)
        late_workers = frozenset(entry.worker for entry in silent if entry.seconds >= after_s)
        commands: list[Command] = []
        for key, batch in self._batches.items():
            if batch.state is _State.RUNNING and self._is_late(key, batch, with_workers):
                batch.hedges += 1
                batch.avoid |= late_workers
                commands.append(self._again(key))
        return commands

    def _is_late(self, key: int, batch: _Batch, silent: dict[tuple[int, int], Silent]) -> bool:
        after_s = self._lateness.hedge_after_s(batch.hedges)
        attempts = [silent.get((key, attempt)) for attempt in batch.under_way]
        return all(entry is not None and entry.seconds >= after_s for entry in attempts)

    def _kill_stuck(self, silent: tuple[Silent, ...]) -> list[Command]:
        commands: list[Command] = []
        for worker, front in {entry.worker: entry for entry in reversed(silent)}.items():
            batch = self._batches.get(front.key)
            if front.seconds >= self._lateness.timeout_s(0 if batch is None else batch.losses):
                commands.append(Kill(worker))
        return commands

    def _awaited(self, event: Completed | Failed) -> _Batch | None:
        batch = self._batches.get(event.key)
        if batch is None or batch.state is not _State.RUNNING:
            return None
        return batch if event.attempt in batch.under_way else None

    def _again(self, key: int) -> Submit:
        batch = self._batches[key]
        attempt = batch.num_attempts
        batch.num_attempts += 1
        batch.under_way.add(attempt)
        return Submit(key, attempt, batch.avoid)

    def _give_up(self, key: int, batch: _Batch, reason: Any) -> list[Command]:
        batch.state, batch.reason = _State.FAILED, reason
        self._window.settle(key, 0)
        return (self._hand_over_head() if key == self._head else []) + self._fill()

    def _hand_over_head(self) -> list[Command]:
        batch = self._batches.get(self._head)
        if batch is None or batch.state is _State.RUNNING:
            return []
        if batch.made_by is not None:
            return [Deliver(self._head, batch.made_by)]
        return [Raise(self._head, batch.reason)]

    def _fill(self) -> list[Command]:
        commands: list[Command] = []
        while self._next != self._count and self._window.admits_another():
            self._batches[self._next] = _Batch()
            self._window.reserve(self._next)
            commands.append(Submit(self._next, 0, frozenset()))
            self._next += 1
        return commands

    def _drop_from(self, count: int) -> None:
        """Forget the batches that were begun before it was known that there are only `count`."""
        for key in range(count, self._next):
            del self._batches[key]
            self._window.settle(key, 0)
            self._window.release(key)
        self._next = min(self._next, count)


def _no_progress(recovery: Recovery, key: int, silent: tuple[Silent, ...]) -> str:
    workers = sorted({entry.worker for entry in silent if entry.key == key})
    where = f"is with worker {', '.join(map(str, workers))}" if workers else "is with no worker yet"
    return (
        f"nothing happened for {recovery.no_progress_timeout_s:g} s, and the batch {where}; if a batch may "
        "take longer, set Recovery(no_progress_timeout_s=...)"
    )
