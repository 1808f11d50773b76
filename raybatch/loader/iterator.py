"""The batches of one epoch, from a stream that goes on beyond it."""

from __future__ import annotations

from collections.abc import Iterator

from raybatch.loader.course import Course
from raybatch.loader.delivery import Delivery
from raybatch.loader.stats import StatsCounter
from raybatch.loader.watch import Watch
from raybatch.sources import Batch


def ended_early(why: str) -> RuntimeError:
    """Return the error for who goes on with an iterator that has ended in the middle, because `why`."""
    return RuntimeError(
        f"this iterator has ended, since {why}, and a loader has one position: for two iterators at a time make two "
        "loaders"
    )


class EpochIterator:
    """Iterates to the end of the epoch that `course` is in.

    `watch` has begun, and is ended. The epoch is completed if its last batch was delivered, whether or not the caller
    asks for another.
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

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        __tracebackhide__ = True  # IPython and pytest show the program's frames without this one
        if self._taken_by:
            raise ended_early(self._taken_by)
        self._counter.waiting()
        delivered: tuple[Batch, ...] = ()
        while not delivered:  # nothing is left of a batch whose samples are all bad
            if self._is_over:
                self.close()
                raise StopIteration
            try:
                request, result = next(self._stream)
            except StopIteration:
                # Nothing is left of this epoch, and the stream has ended with it.
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
                del result  # in line, the traceback of its error leads back to this frame
        (batch,) = delivered
        self._counter.delivered(batch)
        if self._watch.is_on:
            self._watch.look(self._stream)
        return batch

    def close(self, taken_by: str = "") -> None:
        """Leave the epoch; who asks for another batch is told what `taken_by` says, unless there was none."""
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
