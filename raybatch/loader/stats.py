"""Where a loader's time goes, and what would make it faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raybatch.pools.session import HandOver
from raybatch.sources.batch import Batch, batch_nbytes
from raybatch.stages import STAGES

# A loader is not the bottleneck if its loop waits for less than this share of the time.
_NEGLIGIBLE = 0.1

_ADVICE = {
    "none": "nothing has been loaded yet",
    "consumer": (
        "the loop itself takes the time: batches wait for it, and more workers would not help"
    ),
    "transfer": (
        "the transfer of batches takes longest: make them smaller, as uint8 or with fewer pixels,"
        " or run the loader's workers on hosts near this one"
    ),
    "read": (
        "reading the files takes longest: read more of them at a time (io_threads=16), pack them"
        " near the workers, or add workers"
    ),
    "decode": (
        'decoding takes longest: let the decoder scale down (decode="scaled", or a smaller'
        " scale_margin), pack the images, or add workers"
    ),
    "resize": (
        'resizing takes longest: install raybatch[fast], use decode="scaled", pack the images at'
        " the size that you need, or add workers"
    ),
    "stack": (
        "writing the pixels into batches takes longest: keep them uint8 and in their stored layout,"
        " or add workers"
    ),
    "store": (
        "writing batches into the object store takes longest: make them smaller, as uint8 or with"
        " fewer pixels, or add workers"
    ),
    "other": "the source's arrays or functions take longest: make them faster, or add workers",
}


@dataclass(frozen=True)
class LoaderStats:
    """What a loader has delivered, and where the time went, since it was made.

    `batches`, `samples` and `nbytes` count what the caller received. `waited_s` is the time in
    seconds that the caller waited for batches, including `transfer_s` to bring them to this
    process. `consumer_s` is the time between batches, spent in the caller's loop. `first_s` is the
    wait for the very first batch, which includes the start of the pool.

    `stages` has the seconds that all workers together spent on these batches: "read" (opening and
    reading files), "decode", "resize", "stack" (into the batch), "other", and "store" (into Ray's
    object store; a worker reports it with its next batch).
    """

    batches: int
    samples: int
    nbytes: int
    waited_s: float
    transfer_s: float
    consumer_s: float
    stages: dict[str, float]
    first_s: float = 0.0

    @property
    def waiting_share(self) -> float:
        """The part of the time that the caller waited, from 0 to 1."""
        total_s = self.waited_s + self.consumer_s
        return self.waited_s / total_s if total_s else 0.0

    @property
    def bottleneck(self) -> str:
        """What takes longest: "consumer", "transfer" or a stage; "none" before the first batch."""
        if self.batches == 0:
            return "none"
        waited_s = self.waited_s - (self.first_s if self.batches > 1 else 0.0)
        if waited_s < _NEGLIGIBLE * (waited_s + self.consumer_s):
            return "consumer"
        if self.transfer_s > self.waited_s / 2:
            return "transfer"
        return max(self.stages, key=lambda name: self.stages[name])

    @property
    def advice(self) -> str:
        """One sentence on what would make it faster."""
        own = f"the stage {self.bottleneck!r} takes longest: make it faster, or add workers"
        return _ADVICE.get(self.bottleneck, own)

    def __str__(self) -> str:
        made = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.stages.items())
        return (
            f"{self.samples} samples in {self.batches} batches; waited {self.waited_s:.2f} s"
            f" ({self.waiting_share:.0%}); workers: {made}; bottleneck: {self.bottleneck}:"
            f" {self.advice}"
        )


class StatsCounter:
    """Counts for `LoaderStats`; `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._batches = self._samples = self._nbytes = 0
        self._waited_s = self._consumer_s = self._first_s = 0.0
        self._handed_over = HandOver()
        self._stages = dict.fromkeys((*STAGES, "other"), 0.0)
        self._left_at: float | None = None
        self._asked_at = 0.0

    def waiting(self) -> None:
        """Record that the caller asks for a batch."""
        self._asked_at = self._clock()
        if self._left_at is not None:
            self._consumer_s += self._asked_at - self._left_at
            self._left_at = None

    def still_waiting(self) -> None:
        """Count the wait up to now."""
        now = self._clock()
        self._waited_s += now - self._asked_at
        self._asked_at = now

    def made(self, samples: int, seconds: Mapping[str, float]) -> None:
        """Count the work for a batch."""
        self._samples += samples
        for name, more_s in seconds.items():
            self._stages[name] = self._stages.get(name, 0.0) + more_s

    def handed_over(self, more: HandOver) -> None:
        """Count the cost of handing over batches."""
        self._handed_over = self._handed_over + more

    def delivered(self, batch: Batch) -> None:
        """Count a batch that the caller gets now."""
        self.still_waiting()
        if self._batches == 0:
            self._first_s = self._waited_s
        self._batches += 1
        self._nbytes += batch_nbytes(batch)
        self._left_at = self._asked_at

    def epoch_left(self) -> None:
        """Stop the clock of the loop: the time until the next epoch is not spent on a batch."""
        self._left_at = None

    def snapshot(self, more: HandOver) -> LoaderStats:
        """Return all counts, plus `more`."""
        handed_over = self._handed_over + more
        return LoaderStats(
            self._batches,
            self._samples,
            self._nbytes,
            self._waited_s,
            handed_over.transfer_s,
            self._consumer_s,
            {**self._stages, "store": handed_over.store_s},
            self._first_s,
        )
