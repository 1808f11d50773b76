"""The seam between the driver and a pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from raybatch.errors import RemoteError
from raybatch.scheduling import Completed, Failed

Read = Callable[[Any], Any]


class Session(Protocol):
    """One reader on one pool: `read(item)` for every item submitted, in any order, on any worker.

    A pool makes it with `open(read)`. It is used from one thread. Attempts are named by (key, attempt), each
    pair at most once. `wait` reports each attempt at most once; a lost one may never be reported.
    """

    def submit(self, key: int, attempt: int, item: Any, avoid: frozenset[int]) -> None:
        """Have `read(item)` made, on a worker that is not in `avoid` if there is one; do not wait."""
        ...

    def wait(self, timeout_s: float) -> list[Completed | Failed]:
        """Wait until attempts end, and return what became of them; [] if none did in `timeout_s`.

        The reason in a `Failed` is a `Failure`. PoolError if no worker is left to wait for.
        """
        ...

    def fetch(self, key: int, attempt: int) -> Any:
        """Return the result of a completed attempt, once."""
        ...

    def discard(self, key: int, attempt: int) -> None:
        """Free the result of a completed attempt."""
        ...

    def close(self) -> None:
        """Free everything that the session holds; what is under way ends unseen. May be called twice."""
        ...


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed: an exception that the consumer may see."""

    error: Exception


class SharedConstant:
    """A value that travels to each worker once, however many tasks refer to it."""

    def __init__(self, value: Any) -> None:
        self.value = value


def attempt(read: Read, item: Any) -> Any:
    """Return `read(item)`, or a `Failure` with what it raised.

    A KeyboardInterrupt is the consumer's and passes through; SystemExit must not end a worker, or the
    consumer, and becomes an error.
    """
    try:
        return read(item)
    except Exception as error:
        return Failure(error)
    except SystemExit as exit_:
        exited = RemoteError(f"the code that makes a batch called sys.exit({exit_.code!r})")
        exited.__cause__ = exit_
        return Failure(exited)
