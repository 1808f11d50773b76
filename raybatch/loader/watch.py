"""Shows a loader's figures to its watchers at intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from raybatch.loader.stats import StatsCounter
from raybatch.pools.journal import Journal
from raybatch.pools.session import HandOver
from raybatch.pools.stream import OrderedStream
from raybatch.pools.watching import Figures, Watcher
from raybatch.sources.ledger import BadSampleLedger


class Watch:
    """Shows the figures of a loader to each of `watchers` at its own interval.

    `clock` returns the time in seconds. The watch has no reference to the loader or its stream, so
    that both are freed as soon as the program deletes them.
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
        """Record that a loop over `num_batches()` batches begins."""
        if self._watchers:
            figures, now = self._figures(None), self._clock()
            for number, watcher in enumerate(self._watchers):
                watcher.begin(epoch, num_batches, figures)
                self._due[number] = now + watcher.every_s
            self._next, self.is_on = min(self._due.values()), True

    def look(self, stream: OrderedStream) -> None:
        """Show the figures to each watcher whose interval has passed; call this often."""
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
        """The function that a stream calls while it waits; None without watchers."""
        return self._wait if self._watchers else None

    def _wait(self, stream: OrderedStream) -> None:
        """Show the figures while the loop waits for a batch."""
        if self.is_on:
            self._counter.still_waiting()
            self.look(stream)

    def end(self, stream: OrderedStream | None) -> None:
        """Record that the loop is left; can be called twice."""
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
