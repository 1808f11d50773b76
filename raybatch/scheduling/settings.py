"""Settings of a stream: frozen values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from raybatch.checks import positive_int


@dataclass(frozen=True)
class Prefetch:
    """How much is made ahead of the consumer: at most `batches`, and at most `bytes` (None: no limit).

    The batch that the consumer waits for is always made, however large.
    """

    batches: int
    bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", positive_int("Prefetch.batches", self.batches))
        if self.bytes is not None:
            object.__setattr__(self, "bytes", positive_int("Prefetch.bytes", self.bytes))

    @classmethod
    def for_workers(cls, count: int, nbytes: int | None = None) -> Prefetch:
        """Return how much to make ahead by `count` workers, in `nbytes` bytes, where the user does not say."""
        return cls(2 * count + 2, nbytes)


@dataclass(frozen=True)
class Recovery:
    """What to do when batches do not come.

    A batch whose worker, host or result is lost is made again, `max_attempts` times in all; one at which the
    user's code raises, `max_error_attempts` times.

    Where the consumer waits for a batch, and the worker that has it gives no sign of life for `hedge_after`
    seconds, another worker makes it too, and the first result counts. None stands for three times what nearly
    all batches so far took, and at least 0.1 s. A worker that gives none for `batch_timeout_s` seconds is
    ended and replaced, and its batches are made again; each further time a batch may take twice as long. None
    stands for 50 times what nearly all batches took, and at least 60 s. Both are for workers that are
    processes; threads cannot be ended.

    If the consumer waits and nothing at all happens for `no_progress_timeout_s` seconds, it gets an error.
    """

    max_attempts: int = 3
    no_progress_timeout_s: float = 600.0
    max_error_attempts: int = 1
    hedge_after: float | None = None
    batch_timeout_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_attempts", "max_error_attempts"):
            attempts = positive_int(f"Recovery.{name}", getattr(self, name))
            object.__setattr__(self, name, attempts)
        for name in ("no_progress_timeout_s", "hedge_after", "batch_timeout_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"Recovery.{name} must be above 0, not {seconds}")
