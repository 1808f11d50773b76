"""The settings of a stream, checked when they are constructed."""

from __future__ import annotations

from dataclasses import dataclass

from raybatch.checks import positive_int


@dataclass(frozen=True)
class Prefetch:
    """How much to make ahead of the consumer: at most `batches`, and at most `bytes`.

    None sets no limit on the bytes. The batch that the consumer waits for is always made, however
    large it is.
    """

    batches: int
    bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", positive_int("Prefetch.batches", self.batches))
        if self.bytes is not None:
            object.__setattr__(self, "bytes", positive_int("Prefetch.bytes", self.bytes))

    @classmethod
    def for_workers(cls, count: int, nbytes: int | None = None) -> Prefetch:
        """Return the default for `count` workers, limited to `nbytes` bytes (None: no limit)."""
        return cls(2 * count + 2, nbytes)


@dataclass(frozen=True)
class Recovery:
    """What to do when a batch fails or does not arrive.

    `hedge_after` and `batch_timeout_s` have no effect on threads, which cannot be ended.

    Args:
        max_attempts: The number of attempts for a batch whose worker, host or result is lost each
            time.
        no_progress_timeout_s: If the consumer waits and nothing at all happens for this many
            seconds, it gets an error.
        max_error_attempts: The number of attempts for a batch that raises an error each time.
        hedge_after: If the consumer waits for a batch, and the worker that has it is silent for
            this many seconds, another worker makes it too, and the first result counts. None: 3
            times the 95th percentile of the latest durations, and at least 0.1 s.
        batch_timeout_s: A worker that is silent for this many seconds is ended and replaced, and
            its batches are made again. The timeout doubles with each loss of a batch. None: 50
            times the 95th percentile of the latest durations, and at least 60 s.
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
