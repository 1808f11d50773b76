"""The loop between scheduler and session: requests in, results out, in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator

from raybatch.errors import PoolError
from raybatch.making.request import Request, Result
from raybatch.pools.journal import Journal
from raybatch.pools.session import HandOver, Session
from raybatch.scheduling.messages import (
    Command,
    Deliver,
    Discard,
    Event,
    Exhausted,
    Failed,
    Kill,
    Raise,
    Resized,
    Started,
    Submit,
    Taken,
    TimePassed,
    Wanted,
)
from raybatch.scheduling.scheduler import Scheduler
from raybatch.scheduling.settings import Prefetch, Recovery


class OrderedStream:
    """An iterator over pairs (request, result), in the order of the requests.

    Work begins when the stream is constructed. A failed batch gives a result with an error, and the
    stream goes on. If `requests` itself raises, the stream raises that error at its end. Close the
    stream, or drop all references to it.

    Args:
        session: Makes the results.
        requests: The requests, read as far ahead as `limit` allows.
        limit: Returns how much to make ahead; called before each batch.
        recovery: What to do about batches that fail or are late.
        largest_bytes: The expected size of the largest batch; 0 if unknown.
        journal: Counts and logs retries and hedges.
        waiting: Called with the stream from time to time while it waits.
    """

    def __init__(
        self,
        session: Session,
        requests: Iterator[Request],
        limit: Callable[[], Prefetch],
        recovery: Recovery,
        *,
        largest_bytes: int = 0,
        journal: Journal | None = None,
        waiting: Callable[[OrderedStream], None] | None = None,
    ) -> None:
        self._session = session
        self._requests = requests
        self._clock = session.clock
        self._limit: Callable[[], Prefetch] | None = limit
        self._prefetch = limit()
        self._scheduler = Scheduler(self._prefetch, recovery, largest_bytes)
        self._journal = Journal() if journal is None else journal
        self._waiting = waiting
        self._under_way: dict[int, Request] = {}
        self._head: Deliver | Raise | None = None
        self._requests_error: Exception | None = None
        self._closed = False
        self._tell(Started())

    def __iter__(self) -> Iterator[tuple[Request, Result]]:
        return self

    def __next__(self) -> tuple[Request, Result]:
        if self._closed and not self._scheduler.is_finished:
            raise PoolError("the stream is closed: its loader or pool was closed")
        try:
            if self._limit is not None and (prefetch := self._limit()) != self._prefetch:
                self._prefetch = prefetch
                self._tell(Resized(prefetch))
            self._tell(Wanted())
            while self._head is None:
                if self._scheduler.is_finished:
                    return self._finish()
                event: Event | None = None
                for event in self._session.wait(self._scheduler.patience_s(self._clock())):
                    self._tell(event)
                del event  # with an InlinePool, the traceback of an error in it holds this frame
                if self._scheduler.patience_s(self._clock()) == 0.0:
                    self._tell(TimePassed(self._session.silent()))
                if self._waiting is not None:
                    self._waiting(self)
            return self._take(self._head)
        except StopIteration:
            raise
        except BaseException:
            # After a Ctrl-C between two steps, the scheduler and the session may disagree, so the
            # stream cannot go on.
            self.close()
            raise

    @property
    def largest_bytes(self) -> int:
        """The size of the largest batch so far."""
        return self._scheduler.largest_bytes

    @property
    def under_way(self) -> Collection[Request]:
        """The requests whose results are not taken yet."""
        return self._under_way.values()

    @property
    def made_ahead(self) -> int:
        """The number of batches that are made and wait to be taken."""
        return self._scheduler.made_ahead

    @property
    def window(self) -> int:
        """The number of batches that can be under way or waiting to be taken."""
        return self._scheduler.window

    @property
    def hand_over(self) -> HandOver:
        """The seconds that storing and fetching results took so far."""
        return self._session.hand_over

    def close(self) -> None:
        """Drop all batches that were made ahead."""
        if not self._closed:
            self._under_way.clear()
            self._session.close()
            self._limit = None  # it has a reference to the pool
            self._closed = True

    def __del__(self) -> None:
        self.close()

    def _take(self, head: Deliver | Raise) -> tuple[Request, Result]:
        request = self._under_way.pop(head.key)
        self._head = None
        if isinstance(head, Deliver):
            result = self._session.fetch(head.key, head.attempt)
            self._tell(Taken(head.key))
            return request, result
        self._tell(Taken(head.key))
        # No variable for the error: with an InlinePool, its traceback holds this frame.
        return request, (
            head.reason if isinstance(head.reason, Result) else Result(error=head.reason)
        )

    def _finish(self) -> tuple[Request, Result]:
        self.close()
        if self._requests_error is not None:
            error, self._requests_error = self._requests_error, None
            try:
                raise error
            finally:
                del error  # the traceback holds this frame, so this breaks a reference cycle
        raise StopIteration

    def _tell(self, event: Event) -> None:
        """Pass `event` to the scheduler, and carry out its commands. They can cause more events."""
        events = deque([event])
        while events:
            event = events.popleft()
            for command in self._scheduler.handle(event, self._clock()):
                if isinstance(event, (Failed, TimePassed)):
                    self._note(event, command)
                follow_up = self._do(command)
                if follow_up is not None:
                    events.append(follow_up)
                    if isinstance(follow_up, Exhausted):
                        break

    def _note(self, event: Event, command: Command) -> None:
        request = self._under_way.get(command.key) if isinstance(command, Submit) else None
        self._journal.note(event, command, request)

    def _do(self, command: Command) -> Event | None:
        match command:
            case Submit():
                return self._submit(command)
            case Deliver() | Raise():
                self._head = command
            case Discard():
                self._session.discard(command.key, command.attempt)
            case Kill():
                self._session.kill(command.worker)
        return None

    def _submit(self, command: Submit) -> Event | None:
        key = command.key
        if command.attempt == 0:
            try:
                self._under_way[key] = next(self._requests)
            except StopIteration:
                return Exhausted(key)
            except Exception as error:
                self._requests_error = error
                return Exhausted(key)
        self._session.submit(key, command.attempt, self._under_way[key], command.avoid)
        return None
