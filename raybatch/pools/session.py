"""The interface between the driver and a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from raybatch.making.request import Request, Result
from raybatch.scheduling.messages import Completed, Failed, Silent
from raybatch.sources.batch import batch_nbytes


@dataclass(frozen=True)
class HandOver:
    """Seconds that workers took to store results, and the driver took to fetch them."""

    store_s: float = 0.0
    transfer_s: float = 0.0

    def __add__(self, other: HandOver) -> HandOver:
        return HandOver(self.store_s + other.store_s, self.transfer_s + other.transfer_s)


class Session(Protocol):
    """Runs `make(source, request)` for each submitted request, in any order, on any worker.

    `WorkerPool.open(source)` returns a session. Only one thread uses it. Each pair (key, attempt)
    is submitted at most once. `wait` reports each attempt at most once; a lost one may go
    unreported.
    """

    @property
    def hand_over(self) -> HandOver:
        """The seconds that storing and fetching results took so far."""
        ...

    def clock(self) -> float:
        """Return the time in seconds, from any start; the scheduler's deadlines use it."""
        ...

    def submit(self, key: int, attempt: int, request: Request, avoid: frozenset[int]) -> None:
        """Start to make `request`, if possible on a worker that is not in `avoid`; do not wait."""
        ...

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        """Wait until attempts end, and return their events; [] if none ended within `timeout_s`.

        The reason in a `Failed` is a `Result` with an error. Raise PoolError if no worker is left.
        """
        ...

    def silent(self) -> tuple[Silent, ...]:
        """Return the attempts that are on a worker; () if the pool cannot end its workers."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker and start a new one. Its attempts are reported as lost."""
        ...

    def fetch(self, key: int, attempt: int) -> Result:
        """Return the result of a completed attempt; call this once."""
        ...

    def discard(self, key: int, attempt: int) -> None:
        """Free the result of a completed attempt."""
        ...

    def close(self) -> None:
        """Free all results, the source and the reference to the pool; can be called twice.

        Attempts under way run to their end, and nobody gets their results.
        """
        ...


class SharedConstant:
    """A value that is sent to each worker once, however many requests refer to it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def copied(self) -> Any:
        """Return the value as a worker has it: a copy, unless workers share this memory."""
        return self.value


class Results:
    """The results of a session that wait for the consumer."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], Result] = {}

    def settle(
        self, key: int, attempt: int, result: Result, seconds: float | None = None
    ) -> Completed | Failed:
        """Keep `result` unless it has an error, and return its event."""
        if result.error is not None:
            return Failed(key, attempt, result)
        self._values[key, attempt] = result
        return Completed(key, attempt, batch_nbytes(result.batch), seconds)

    def fetch(self, key: int, attempt: int) -> Result:
        return self._values.pop((key, attempt))

    def discard(self, key: int, attempt: int) -> None:
        self._values.pop((key, attempt), None)

    def clear(self) -> None:
        self._values.clear()
