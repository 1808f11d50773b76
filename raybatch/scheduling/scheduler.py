"""The scheduler of one ordered stream: an event in, commands out.

A batch, by its key, is in one of these states:

    (not begun) ──Submit──► RUNNING ──Completed──► READY ──Deliver──► (with the consumer) ──Taken──► (gone)
                            │     ▲
                            │     └─ Failed, lost, attempts left: Submit again, avoiding that worker
                            └─ Failed otherwise ──► FAILED ──Raise──► (with the consumer) ──Taken──► (gone)

Laws, in every state: batches are begun in the order of their keys, delivered or raised in that order, each
once; those begun and not taken fit the window; a result of an attempt that nobody waits for is discarded
and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

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
from raybatch.scheduling.settings import Prefetch, Recovery
from raybatch.scheduling.window import Window


class _State(Enum):
    RUNNING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Batch:
    state: _State = _State.RUNNING
    attempt: int = 0
    losses: int = 0
    avoid: frozenset[int] = frozenset()
    reason: Any = None


class Scheduler:
    """Decides when each batch of a stream is begun, begun again, delivered or given up."""

    def __init__(self, prefetch: Prefetch, recovery: Recovery, largest_bytes: int = 0) -> None:
        self._window = Window(prefetch, largest_bytes)
        self._recovery = recovery
        self._batches: dict[int, _Batch] = {}
        self._head = 0
        self._next = 0
        self._count: int | None = None
        self._progress_at = 0.0

    @property
    def largest_bytes(self) -> int:
        """The size of the largest batch so far, which a later stream of the same batches begins with."""
        return self._window.largest_bytes

    @property
    def is_finished(self) -> bool:
        """Whether the consumer has taken the last batch."""
        return self._head == self._count

    def patience_s(self, now: float) -> float:
        """Return for how many seconds from `now` the consumer may go on waiting for any event."""
        return max(0.0, self._progress_at + self._recovery.no_progress_timeout_s - now)

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take `event`, which happened at `now` (seconds on any one clock), and return what to do."""
        if isinstance(event, TimePassed):
            return self._check_progress(now)
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
                return self._fill()
            case Wanted():
                return []

    def _completed(self, event: Completed) -> list[Command]:
        batch = self._awaited(event)
        if batch is None:
            return [Discard(event.key, event.attempt)]
        batch.state = _State.READY
        self._window.settle(event.key, event.nbytes)
        # The size of the first batch may make room for more.
        return (self._hand_over_head() if event.key == self._head else []) + self._fill()

    def _failed(self, event: Failed) -> list[Command]:
        batch = self._awaited(event)
        if batch is None:
            return []
        batch.losses += event.lost and event.begun
        if event.lost and batch.losses < self._recovery.max_attempts:
            batch.attempt += 1
            if event.worker is not None:
                batch.avoid |= {event.worker}
            return [Submit(event.key, batch.attempt, batch.avoid)]
        return self._give_up(event.key, batch, event.reason)

    def _taken(self, event: Taken) -> list[Command]:
        if event.key != self._head or self._batches[event.key].state is _State.RUNNING:
            raise ValueError(f"batch {event.key} was not delivered, so it cannot be taken")
        del self._batches[event.key]
        self._window.release(event.key)
        self._head += 1
        return self._hand_over_head() + self._fill()

    def _check_progress(self, now: float) -> list[Command]:
        batch = self._batches.get(self._head)
        if batch is None or batch.state is not _State.RUNNING or self.patience_s(now) > 0:
            return []
        self._progress_at = now
        reason = (
            f"nothing happened for {self._recovery.no_progress_timeout_s:g} s; if a batch may take "
            "longer, set Recovery(no_progress_timeout_s=...)"
        )
        return self._give_up(self._head, batch, TimeoutError(reason))

    def _awaited(self, event: Completed | Failed) -> _Batch | None:
        batch = self._batches.get(event.key)
        if batch is None or batch.state is not _State.RUNNING or batch.attempt != event.attempt:
            return None
        return batch

    def _give_up(self, key: int, batch: _Batch, reason: Any) -> list[Command]:
        batch.state, batch.reason = _State.FAILED, reason
        self._window.settle(key, 0)
        return (self._hand_over_head() if key == self._head else []) + self._fill()

    def _hand_over_head(self) -> list[Command]:
        batch = self._batches.get(self._head)
        if batch is None or batch.state is _State.RUNNING:
            return []
        if batch.state is _State.READY:
            return [Deliver(self._head, batch.attempt)]
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
