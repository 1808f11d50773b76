"""Who watches a loader is shown its figures, now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from raybatch.loader.stats import StatsCounter
from raybatch.pools import Figures, HandOver, Journal, OrderedStream, Watcher
from raybatch.sources import BadSampleLedger


class Watch:
    """Shows the figures of a loader to each of `watchers` as often as it wants; by `clock`, in seconds.

    It knows neither the loader nor its stream, so that both are gone as soon as they are let go of.
    """

    def __init__(
        self,
        watchers: Sequence[Watcher],
        counter: StatsCounter,
        journal: Journal,
        ledger: BadSampleLedger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watchers = watchers
        self._counter = counter
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._due = dict.fromkeys(range(len(watchers)), 0.0)
        self._next = float("inf")
        self.is_on = False

    def begin(self, epoch: int, num_batches: Callable[[], int | None]) -> None:
        """Take note that a loop begins over `num_batches()` batches."""
        if self._watchers:
            figures, now = self._figures(None), self._clock()
            for number, watcher in enumerate(self._watchers):
                watcher.begin(epoch, num_batches, figures)
                self._due[number] = now + watcher.every_s
            self._next, self.is_on = min(self._due.values()), True

    def look(self, stream: OrderedStream) -> None:
        """Show the figures to those whose time has come; to be called often."""
        now = self._clock()
        if now < self._next:
            return
        figures = self._figures(stream)
        for number, watcher in enumerate(self._watchers):
            if now >= self._due[number]:
                watcher.show(figures)
                self._due[number] = now + watcher.every_s
        self._next = min(self._due.values())

    @property
    def waiting(self) -> Callable[[OrderedStream], None] | None:
        """What a stream is to call while it waits, None if nobody watches."""
        return self._wait if self._watchers else None

    def _wait(self, stream: OrderedStream) -> None:
        """As `look`, while the loop waits for a batch."""
        if self.is_on:
            self._counter.still_waiting()
            self.look(stream)

    def end(self, stream: OrderedStream | None) -> None:
        """Take note that the loop is left; may be called twice."""
        if self.is_on:
            self._next, self.is_on = float("inf"), False
            figures = replace(self._figures(stream), made_ahead=0, window=0)
            for watcher in self._watchers:
                watcher.end(figures)

    def _figures(self, stream: OrderedStream | None) -> Figures:
        stats = self._counter.snapshot(HandOver() if stream is None else stream.hand_over)
        return Figures(
            stats.samples,
            stats.batches,
            stats.nbytes,
            stats.waited_s,
            stats.stages,
            self._journal.retries,
            self._journal.hedges,
            len(self._ledger),
            0 if stream is None else stream.made_ahead,
            0 if stream is None else stream.window,
        )
