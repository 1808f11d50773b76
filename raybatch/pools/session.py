"""The seam between the driver and a pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from raybatch.errors import RemoteError
from raybatch.scheduling import Completed, Failed, Silent
from raybatch.sources import batch_nbytes

Read = Callable[[Any], Any]


@dataclass(frozen=True)
class HandOver:
    """Seconds that results took: to be stored by the workers that made them, and to be brought to the driver."""

    store_s: float = 0.0
    transfer_s: float = 0.0

    def __add__(self, other: HandOver) -> HandOver:
        return HandOver(self.store_s + other.store_s, self.transfer_s + other.transfer_s)


class Session(Protocol):
    """One reader on one pool: `read(item)` for every item submitted, in any order, on any worker.

    A pool makes it with `open(read)`. It is used from one thread. Attempts are named by (key, attempt), each
    pair at most once. `wait` reports each attempt at most once; a lost one may never be reported.
    """

    @property
    def hand_over(self) -> HandOver:
        """What it took so far to hand results over."""
        ...

    def clock(self) -> float:
        """Return the time in seconds, from any start, by which it is judged what is late."""
        ...

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        """Have `read(item)` made, on a worker that is not in `avoid` if there is one; do not wait."""
        ...

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        """Wait until attempts end, and return what became of them; [] if none did in `timeout_s`.

        The reason in a `Failed` is a `Failure`. PoolError if no worker is left to wait for.
        """
        ...

    def silent(self) -> tuple[Silent, ...]:
        """Return the attempts that are with a worker, for pools that can do without a worker; else ()."""
        ...

    def kill(self, worker: int) -> None:
        """End a worker and start another; its attempts fail, and are reported as lost."""
        ...

    def fetch(self, key: int, attempt: int) -> Any:
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


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed: an exception that the consumer may see."""

    error: Exception


class SharedConstant:
    """A value that travels to each worker once, however many tasks refer to it."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Results:
    """The results that wait in a session for the consumer."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], Any] = {}

    def settle(
        self, key: int, attempt: int, result: Any, seconds: float | None = None
    ) -> Completed | Failed:
        """Keep `result`, unless it is a `Failure`, and return the event that tells of it."""
        if isinstance(result, Failure):
            return Failed(key, attempt, result)
        self._values[key, attempt] = result
        return Completed(key, attempt, batch_nbytes(result), seconds)

    def fetch(self, key: int, attempt: int) -> Any:
        return self._values.pop((key, attempt))

    def discard(self, key: int, attempt: int) -> None:
        self._values.pop((key, attempt), None)

    def clear(self) -> None:
        self._values.clear()


def result_of(read: Read, item: Any, passing: tuple[type[BaseException], ...] = ()) -> Any:
    """Return `read(item)`, or a `Failure` with what it raised; `passing` are raised on.

    What would end a worker, or the consumer, such as SystemExit, becomes an error.
    """
    try:
        return read(item)
    except passing:
        raise
    except Exception as error:
        return Failure(error)
    except BaseException as error:
        return Failure(_as_exception(error))


def _as_exception(error: BaseException) -> RemoteError:
    if isinstance(error, SystemExit):
        substitute = RemoteError(f"the code that makes a batch called sys.exit({error.code!r})")
    else:
        substitute = RemoteError(
            f"the code that makes a batch raised {type(error).__name__}: {error}"
        )
    substitute.__cause__ = error
    return substitute
