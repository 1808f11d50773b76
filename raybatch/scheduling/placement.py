"""Where an attempt goes: to the least loaded worker that has no other attempt of its batch.

    Attempt ──add──► waits for a place ──places, took──► with a worker ──ended──► (gone)

Nobody reads a clock here: `now` is in seconds on any one clock.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from raybatch.scheduling.messages import Silent

# A worker has the next attempt at hand, and a slow one holds few.
_MIN_QUEUE_LENGTH = 2

# A worker that takes so many times as long as the fastest, and so many seconds at least, is a laggard: a batch
# that it is given is waited for longer than another worker would take to get round to it. It rests for so many
# times as long as its last batch took, and then is tried again.
_LAGGARD_FACTOR = 8.0
_MIN_LAGGARD_S = 0.1
_LAGGARD_REST = 4.0

# For so long it is known which worker is the fastest, before all are looked at again.
_FASTEST_FOR_S = 0.1


@dataclass(eq=False)
class Worker:
    """One worker, and in its `queue` what it was asked and is not known to have answered, oldest first.

    `heard_at` is when it last took up or answered anything; `seconds` is what its latest batch took. Its host is to go
    when it `is_leaving`.
    """

    number: int
    heard_at: float = 0.0
    seconds: float | None = None
    is_leaving: bool = False
    queue: dict[Any, None] = field(default_factory=dict)

    def silent_s(self, now: float) -> float:
        """Return for how long nothing was heard of it."""
        return now - self.heard_at

    def is_laggard(self, fastest_s: float, now: float) -> bool:
        """Return whether it is to rest, where another worker makes a batch in `fastest_s`."""
        if self.seconds is None or self.seconds < max(_MIN_LAGGARD_S, _LAGGARD_FACTOR * fastest_s):
            return False
        return bool(self.queue) or self.silent_s(now) < _LAGGARD_REST * self.seconds

    def is_stuck(self, now: float) -> bool:
        """Return whether it is at work for so long that its `seconds` say nothing about it any more."""
        if self.seconds is None or not self.queue:
            return False
        return self.silent_s(now) >= _LAGGARD_FACTOR * self.seconds


W = TypeVar("W", bound=Worker)


class Workers(Generic[W]):
    """The workers of a pool that can be given batches, by their load, for all of its streams.

    Those that leave are given some only if there are no others.
    """

    def __init__(self) -> None:
        # By the length of their queues, each in the order in which they came to it.
        self._levels: list[dict[int, W]] = [{}]
        self._num_workers = self._num_leaving = 0
        self._fastest_s = self._fastest_until = float("-inf")

    def __len__(self) -> int:
        return self._num_workers

    def __contains__(self, worker: Worker) -> bool:
        return worker.number in self._level(worker)

    def __iter__(self) -> Iterator[W]:
        """Iterate over those to give batches to, from the least loaded on."""
        some_stay = self._num_leaving < self._num_workers
        for level in self._levels:
            for worker in level.values():
                if not (worker.is_leaving and some_stay):
                    yield worker

    def add(self, worker: W) -> None:
        self._level(worker)[worker.number] = worker
        self._num_workers += 1
        self._num_leaving += worker.is_leaving

    def remove(self, worker: W) -> None:
        """Forget `worker`, if it is here."""
        if self._level(worker).pop(worker.number, None) is not None:
            self._num_workers -= 1
            self._num_leaving -= worker.is_leaving

    def leave(self, worker: W) -> None:
        """Take note that the host of `worker` is to go."""
        if not worker.is_leaving:
            worker.is_leaving = True
            self._num_leaving += worker in self

    def took_up(self, worker: W, what: Any, now: float) -> None:
        """Take note that `worker` was asked for `what`."""
        if not worker.queue:
            worker.heard_at = now
        level = self._level(worker)
        worker.queue[what] = None
        self._move(worker, level)

    def answered(self, worker: W, what: Any, now: float, seconds: float | None = None) -> None:
        """Take note that the answer to `what` is here, or that nobody waits for it any more.

        `seconds` is what `worker` took for it, None if it did not say.
        """
        level = self._level(worker)
        del worker.queue[what]
        worker.heard_at = now
        if seconds is not None:
            worker.seconds = seconds
        self._move(worker, level)

    def is_laggard(self, worker: W, now: float) -> bool:
        """Return whether `worker` is so much slower than the fastest that it is to rest."""
        if now >= self._fastest_until:
            able = (own.seconds for own in self if not own.is_stuck(now))
            known = (seconds for seconds in able if seconds is not None)
            self._fastest_s = min(known, default=float("inf"))
            self._fastest_until = now + _FASTEST_FOR_S
        return worker.is_laggard(self._fastest_s, now)

    def _level(self, worker: Worker) -> dict[int, W]:
        while len(worker.queue) >= len(self._levels):
            self._levels.append({})
        return self._levels[len(worker.queue)]

    def _move(self, worker: W, level: dict[int, W]) -> None:
        if level.pop(worker.number, None) is not None:  # or it is one that is gone
            self._level(worker)[worker.number] = worker


@dataclass(order=True, slots=True)
class Attempt:
    """An attempt that waits for a place; the earliest batch goes first."""

    key: int
    attempt: int
    request: Any = field(compare=False)
    avoid: frozenset[int] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Placed(Generic[W]):
    """An attempt that is with `worker`."""

    key: int
    attempt: int
    worker: W


@dataclass(slots=True)
class _Share:
    """What one stream has of one worker: so many attempts, and how long it had listened when it last heard of it."""

    num_attempts: int = 0
    heard_at_s: float = 0.0


class Placement(Generic[W]):
    """The attempts of one stream: those that wait for a place at one of `workers`, and those `running` there.

    Each that runs has a name, which the session chooses. If the workers have users elsewhere (`is_shared`), this stream
    keeps few attempts at each: a worker makes batches in the order in which it is asked, so users whose queues at it are
    equally long get equal shares of it, whatever their windows.
    """

    def __init__(self, workers: Workers[W], *, is_shared: bool = False) -> None:
        self.running: dict[Any, Placed[W]] = {}
        # For how long the consumer waited for results, in seconds.
        self.listened_s = 0.0
        self._workers = workers
        self._is_shared = is_shared
        self._waiting: list[Attempt] = []
        self._shares: defaultdict[int, _Share] = defaultdict(_Share)

    @property
    def is_waiting(self) -> bool:
        """Whether an attempt waits for a place."""
        return bool(self._waiting)

    def add(self, attempt: Attempt) -> None:
        heapq.heappush(self._waiting, attempt)

    def places(self, num_workers: int, now: float) -> Iterator[tuple[Attempt, W]]:
        """Iterate over attempts that wait, each with the worker that is to have it, of which there are to be `num_workers`.

        Say that it `took_up` the attempt before going on; one that none takes up is forgotten.
        """
        limit = _MIN_QUEUE_LENGTH
        if not self._is_shared:
            # Workers that are not up yet keep their share, or the first one up would be given everything.
            limit = max(limit, -(-(len(self._waiting) + len(self.running)) // num_workers))
        held_back = []
        while self._waiting:
            attempt = heapq.heappop(self._waiting)
            worker = self._choose(attempt, limit, now)
            if worker is not None:
                yield attempt, worker
                continue
            held_back.append(attempt)
            if not attempt.attempt:
                break
        for attempt in held_back:
            heapq.heappush(self._waiting, attempt)

    def took_up(self, attempt: Attempt, worker: W, name: Any, now: float) -> None:
        """Take note that `attempt` is with `worker`, and is called `name` from now on."""
        self._workers.took_up(worker, name, now)
        self.running[name] = Placed(attempt.key, attempt.attempt, worker)
        share = self._shares[worker.number]
        if not share.num_attempts:
            share.heard_at_s = self.listened_s
        share.num_attempts += 1

    def ended(self, name: Any, now: float, seconds: float | None = None) -> float:
        """Take note that an attempt is over, which took its worker `seconds` if that is known.

        Return how long nothing was heard of that worker before, while the consumer waited. What is late is judged by
        that: results may take longer to come over a slow link than to make, and what the consumer does in between is no
        silence.
        """
        worker = self.running.pop(name).worker
        self._workers.answered(worker, name, now, seconds)
        share = self._shares[worker.number]
        silent_s = self.listened_s - share.heard_at_s
        share.heard_at_s = self.listened_s
        share.num_attempts -= 1
        return silent_s

    def silent(self, now: float, heard: Collection[Worker] = ()) -> tuple[Silent, ...]:
        """Return the attempts that run, but those at the workers in `heard`, which have just said something."""
        return tuple(
            Silent(placed.key, placed.attempt, placed.worker.number, placed.worker.silent_s(now))
            for placed in self.running.values()
            if placed.worker not in heard
        )

    def close(self, now: float) -> None:
        """Forget all attempts."""
        for name in list(self.running):
            self.ended(name, now)
        self._waiting.clear()

    def _choose(self, attempt: Attempt, limit: int, now: float) -> W | None:
        """Return the least loaded worker that is fit for `attempt`: if possible none in its `avoid`, and no laggard."""
        is_first = attempt.attempt == 0
        # Another attempt of a batch helps only elsewhere.
        holders = set() if is_first else self._holders(attempt.key)
        best: tuple[bool, bool, W] | None = None
        for worker in self._workers:
            if self._shares[worker.number].num_attempts >= limit or worker in holders:
                continue
            is_laggard = self._workers.is_laggard(worker, now)
            if is_first and is_laggard:
                continue  # it can wait for a place at another
            is_avoided = worker.number in attempt.avoid
            if not (is_avoided or is_laggard):
                return worker
            if best is None or (is_avoided, is_laggard) < best[:2]:
                best = is_avoided, is_laggard, worker
        return None if best is None else best[2]

    def _holders(self, key: int) -> set[W]:
        return {placed.worker for placed in self.running.values() if placed.key == key}
