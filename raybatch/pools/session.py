"""The seam between the driver and a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from raybatch.making import Request, Result
from raybatch.scheduling import Completed, Failed, Silent
from raybatch.sources import batch_nbytes


@dataclass(frozen=True)
class HandOver:
    """Seconds that results took: to be stored by the workers that made them, and to be brought to the driver."""

    store_s: float = 0.0
    transfer_s: float = 0.0

    def __add__(self, other: HandOver) -> HandOver:
        return HandOver(self.store_s + other.store_s, self.transfer_s + other.transfer_s)


class Session(Protocol):
    """One source on one pool: `make(source, request)` for every request submitted, in any order, on any worker.

    A pool makes it with `open(source)`. It is used from one thread. Attempts are named by (key, attempt), each
    pair at most once. `wait` reports each attempt at most once; a lost one may never be reported.
    """

    @property
    def hand_over(self) -> HandOver:
        """What it took so far to hand results over."""
        ...

    def clock(self) -> float:
        """Return the time in seconds, from any start, by which it is judged what is late."""
        ...

    def submit(self, key: int, attempt: int, request: Request, avoid: frozenset[int]) -> None:
        """Have `request` made, on a worker that is not in `avoid` if there is one; do not wait."""
        ...

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        """Wait until attempts end, and return what became of them; [] if none did in `timeout_s`.

        The reason in a `Failed` is a `Result` with an error. PoolError if no worker is left to wait for.
        """
        ...

    def silent(self) -> tuple[Silent, ...]:
        """Return the attempts that are with a worker, for pools that can do without a worker; else ()."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker and start another; its attempts fail, and are reported as lost."""
        ...

    def fetch(self, key: int, attempt: int) -> Result:
        """Return the result of a completed attempt, once."""
        ...

    def discard(self, key: int, attempt: int) -> None:
        """Free the result of a completed attempt."""
        ...

    def close(self) -> None:
        """Free everything that the session holds, its hold on the pool too; may be called twice.

        What is under way ends unseen.
        """
        ...


class SharedConstant:
    """A value that travels to each worker once, however many requests refer to it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def copied(self) -> Any:
        """Return the value as a worker has it: a copy, where workers do not share this process's memory."""
        return self.value


class Results:
    """The results that wait in a session for the consumer."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], Result] = {}

    def settle(
        self, key: int, attempt: int, result: Result, seconds: float | None = None
    ) -> Completed | Failed:
        """Keep `result`, unless it has an error, and return the event that tells of it."""
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
