"""Chooses the worker for an attempt: the least loaded one without an attempt at the same batch.

    Attempt ──add──► waiting ──places, took_up──► running on a worker ──ended──► (gone)

No function here reads a clock: `now` is passed in, in seconds on any one clock.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from raybatch.scheduling.messages import Silent

# Two attempts keep a worker busy between batches, and do not pile up on a slow one.
_MIN_QUEUE_LENGTH = 2

# A worker is a laggard if its batches take at least 8 times as long as those of the fastest worker,
# and at least 0.1 s. A laggard rests: the other workers, even busy ones, finish a batch sooner.
# After 4 times the duration of its last batch it is tried again.
_LAGGARD_FACTOR = 8.0
_MIN_LAGGARD_S = 0.1
_LAGGARD_REST = 4.0

# To find the fastest worker, all are compared, so the result is used again for this long.
_FASTEST_MAX_AGE_S = 0.1


@dataclass(eq=False)
class Worker:
    """One worker of a pool.

    `queue` holds the requests that the worker has not answered yet, oldest first. `heard_at` is the
    time of its last answer, or of the first request after it was idle. `seconds` is the duration of
    its latest batch. `is_leaving` is true if its host will leave the cluster.
    """

    number: int
    heard_at: float = 0.0
    seconds: float | None = None
    is_leaving: bool = False
    queue: dict[Any, None] = field(default_factory=dict)

    def silent_s(self, now: float) -> float:
        """Return the seconds since `heard_at`."""
        return now - self.heard_at

    def is_laggard(self, fastest_s: float, now: float) -> bool:
        """Return whether this worker must rest, if the fastest one makes a batch in `fastest_s`."""
        if self.seconds is None or self.seconds < max(_MIN_LAGGARD_S, _LAGGARD_FACTOR * fastest_s):
            return False
        return bool(self.queue) or self.silent_s(now) < _LAGGARD_REST * self.seconds

    def is_stuck(self, now: float) -> bool:
        """Return whether its current batch takes so long that `seconds` is out of date."""
        if self.seconds is None or not self.queue:
            return False
        return self.silent_s(now) >= _LAGGARD_FACTOR * self.seconds


W = TypeVar("W", bound=Worker)


class Workers(Generic[W]):
    """The workers of a pool that are up, sorted by load. All streams of the pool share them.

    Workers that are leaving get batches only if there are no others.
    """

    def __init__(self) -> None:
        # One dict for each queue length, in the order in which workers reached that length.
        self._levels: list[dict[int, W]] = [{}]
        self._num_workers = self._num_leaving = 0
        self._fastest_s = self._fastest_until = float("-inf")

    def __len__(self) -> int:
        return self._num_workers

    def __contains__(self, worker: Worker) -> bool:
        return worker.number in self._level(worker)

    def __iter__(self) -> Iterator[W]:
        """Iterate over the workers that can get batches, the least loaded first."""
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
        """Remove `worker`, if it is here."""
        if self._level(worker).pop(worker.number, None) is not None:
            self._num_workers -= 1
            self._num_leaving -= worker.is_leaving

    def leave(self, worker: W) -> None:
        """Record that the host of `worker` will leave the cluster."""
        if not worker.is_leaving:
            worker.is_leaving = True
            self._num_leaving += worker in self

    def took_up(self, worker: W, what: Any, now: float) -> None:
        """Record that `worker` was asked for `what`."""
        if not worker.queue:
            worker.heard_at = now
        level = self._level(worker)
        worker.queue[what] = None
        self._move(worker, level)

    def answered(self, worker: W, what: Any, now: float, seconds: float | None = None) -> None:
        """Record that `worker` has answered `what`, or that nobody waits for the answer any more.

        `seconds` is how long `worker` took; None if unknown.
        """
        level = self._level(worker)
        del worker.queue[what]
        worker.heard_at = now
        if seconds is not None:
            worker.seconds = seconds
        self._move(worker, level)

    def is_laggard(self, worker: W, now: float) -> bool:
        """Return whether `worker` is so much slower than the fastest that it must rest."""
        if now >= self._fastest_until:
            able = (own.seconds for own in self if not own.is_stuck(now))
            known = (seconds for seconds in able if seconds is not None)
            self._fastest_s = min(known, default=float("inf"))
            self._fastest_until = now + _FASTEST_MAX_AGE_S
        return worker.is_laggard(self._fastest_s, now)

    def _level(self, worker: Worker) -> dict[int, W]:
        while len(worker.queue) >= len(self._levels):
            self._levels.append({})
        return self._levels[len(worker.queue)]

    def _move(self, worker: W, level: dict[int, W]) -> None:
        if level.pop(worker.number, None) is not None:  # None: the worker was removed
            self._level(worker)[worker.number] = worker


@dataclass(order=True, slots=True)
class Attempt:
    """An attempt that waits for a worker. It sorts by batch, so the earliest batch goes first."""

    key: int
    attempt: int
    request: Any = field(compare=False)
    avoid: frozenset[int] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Placed(Generic[W]):
    """An attempt that runs on `worker`, or waits in its queue."""

    key: int
    attempt: int
    worker: W


@dataclass(slots=True)
class _Share:
    """The attempts of one stream on one worker.

    `num_attempts` counts them. `heard_at_s` is the stream's `listened_s` when the worker last
    answered.
    """

    num_attempts: int = 0
    heard_at_s: float = 0.0


class Placement(Generic[W]):
    """The attempts of one stream: those that wait for one of `workers`, and those that run on one.

    `running` maps a name, which the session chooses, to each running attempt. `is_shared` is true
    if other processes use the workers too. Then this stream queues few attempts on each worker. A
    worker makes batches in the order in which it is asked, so users with equally long queues get
    equal shares of it, whatever their windows.
    """

    def __init__(self, workers: Workers[W], *, is_shared: bool = False) -> None:
        self.running: dict[Any, Placed[W]] = {}
        # How long the consumer has waited for results so far, in seconds.
        self.listened_s = 0.0
        self._workers = workers
        self._is_shared = is_shared
        self._waiting: list[Attempt] = []
        self._shares: defaultdict[int, _Share] = defaultdict(_Share)

    @property
    def is_waiting(self) -> bool:
        """Whether an attempt waits for a worker."""
        return bool(self._waiting)

    def add(self, attempt: Attempt) -> None:
        heapq.heappush(self._waiting, attempt)

    def places(self, num_workers: int, now: float) -> Iterator[tuple[Attempt, W]]:
        """Iterate over waiting attempts, each with the worker chosen for it.

        Call `took_up` for each pair before the next one; an attempt without that call is dropped.
        `num_workers` counts the workers of the pool, including those that are still starting.
        """
        limit = _MIN_QUEUE_LENGTH
        if not self._is_shared:
            # Keep attempts for workers that are still starting: the first one that is up must not
            # get all.
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
                break  # no worker takes a first attempt, so the later batches must wait too
        for attempt in held_back:
            heapq.heappush(self._waiting, attempt)

    def took_up(self, attempt: Attempt, worker: W, name: Any, now: float) -> None:
        """Record that `worker` has `attempt`, which is called `name` from now on."""
        self._workers.took_up(worker, name, now)
        self.running[name] = Placed(attempt.key, attempt.attempt, worker)
        share = self._shares[worker.number]
        if not share.num_attempts:
            share.heard_at_s = self.listened_s
        share.num_attempts += 1

    def ended(self, name: Any, now: float, seconds: float | None = None) -> float:
        """Record that the attempt `name` ended; return how long its worker was silent before.

        `seconds` is how long the worker took; None if unknown. The silence counts only the time in
        which the consumer waited for results, not the time between. `Lateness` gets the longer of
        it and `seconds`: over a slow link, a result can take longer to arrive than to make.
        """
        worker = self.running.pop(name).worker
        self._workers.answered(worker, name, now, seconds)
        share = self._shares[worker.number]
        silent_s = self.listened_s - share.heard_at_s
        share.heard_at_s = self.listened_s
        share.num_attempts -= 1
        return silent_s

    def silent(self, now: float, heard: Collection[Worker] = ()) -> tuple[Silent, ...]:
        """Return the running attempts, except on workers in `heard`, which have just answered."""
        return tuple(
            Silent(placed.key, placed.attempt, placed.worker.number, placed.worker.silent_s(now))
            for placed in self.running.values()
            if placed.worker not in heard
        )

    def close(self, now: float) -> None:
        """Drop all attempts."""
        for name in list(self.running):
            self.ended(name, now)
        self._waiting.clear()

    def _choose(self, attempt: Attempt, limit: int, now: float) -> W | None:
        """Return the least loaded worker for `attempt`; None if it must wait.

        The worker has fewer than `limit` attempts of this stream, and none of the same batch.
        Workers in `attempt.avoid` and laggards come last. A first attempt never goes to a laggard.
        """
        is_first = attempt.attempt == 0
        # A second attempt on the same worker would wait behind the first.
        holders = set() if is_first else self._holders(attempt.key)
        best: tuple[bool, bool, W] | None = None
        for worker in self._workers:
            if self._shares[worker.number].num_attempts >= limit or worker in holders:
                continue
            is_laggard = self._workers.is_laggard(worker, now)
            if is_first and is_laggard:
                continue  # the attempt waits for another worker
            is_avoided = worker.number in attempt.avoid
            if not (is_avoided or is_laggard):
                return worker
            if best is None or (is_avoided, is_laggard) < best[:2]:
                best = is_avoided, is_laggard, worker
        return None if best is None else best[2]

    def _holders(self, key: int) -> set[W]:
        return {placed.worker for placed in self.running.values() if placed.key == key}
