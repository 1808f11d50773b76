"""Iterates over the batches of one epoch, from a stream that continues beyond it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from raybatch.loader.course import Course
from raybatch.loader.delivery import Delivery
from raybatch.loader.stats import StatsCounter
from raybatch.loader.watch import Watch
from raybatch.sources.batch import Batch


def ended_early(why: str) -> RuntimeError:
    """Return the error for an iterator that is used after it ended early, because `why`."""
    return RuntimeError(
        f"this iterator has ended because {why}. A loader has one position: make two loaders to"
        " iterate twice at the same time"
    )


class EpochIterator:
    """Iterates to the end of the current epoch of `course`.

    `watch` must have begun; the iterator ends it. The epoch is complete once its last batch has
    been delivered, whether or not the caller asks for another.
    """

    def __init__(
        self, course: Course, delivery: Delivery, counter: StatsCounter, watch: Watch
    ) -> None:
        assert course.stream is not None
        self._course, self._stream = course, course.stream
        self._delivery = delivery
        self._counter = counter
        self._watch = watch
        self._is_over = self._has_left = False
        self._taken_by = ""
        self._turn = threading.Lock()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        __tracebackhide__ = True  # IPython and pytest then hide this frame from tracebacks
        if not self._turn.acquire(blocking=False):
            raise RuntimeError(
                "two threads asked one iterator for a batch at the same time: loop over the loader"
                " in one thread, and give its batches to others with a queue.Queue"
            )
        try:
            return self._next()
        finally:
            self._turn.release()

    def _next(self) -> Batch:
        __tracebackhide__ = True
        if self._taken_by:
            raise ended_early(self._taken_by)
        self._counter.waiting()
        delivered: tuple[Batch, ...] = ()
        while not delivered:  # a batch whose samples are all bad is empty
            if self._is_over:
                self.close()
                raise StopIteration
            try:
                request, result = next(self._stream)
            except StopIteration:
                # The epoch has no more batches, and the stream ended with it.
                if self._course.position.batches == 0:
                    self._delivery.tell_empty(self._course.position.epoch)
                self._leave(completed=True, stream_goes_on=False)
                raise
            except BaseException:
                self.close()
                raise
            if self._course.is_past(request.position):
                continue  # it was under way when its epoch was left
            self._is_over = request.is_last
            self._course.position = request.position
            if result.error is None:
                self._counter.made(result.valid, result.seconds)
            try:
                delivered = self._delivery.batch(request, result)
            finally:
                del result  # without a pool, the traceback of its error refers to this frame
        (batch,) = delivered
        self._counter.delivered(batch)
        if self._watch.is_on:
            self._watch.look(self._stream)
        return batch

    def close(self, taken_by: str = "") -> None:
        """Leave the epoch.

        If batches are left and `taken_by` is given, the next call of `next` raises an error with
        that reason.
        """
        if not self._is_over:
            self._taken_by = taken_by
        self._leave(completed=self._is_over, stream_goes_on=self._is_over)

    def _leave(self, *, completed: bool, stream_goes_on: bool) -> None:
        if not self._has_left:
            self._has_left = True
            self._is_over = completed
            self._counter.epoch_left()
            self._watch.end(self._stream)
            self._delivery.end_epoch()
            self._course.leave(completed=completed, stream_goes_on=stream_goes_on)

    def __del__(self) -> None:
        self.close()
