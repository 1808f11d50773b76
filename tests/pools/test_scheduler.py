"""The scheduler: its laws hold after each event, whatever the order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybatch.scheduling.messages import (
    Command,
    Completed,
    Deliver,
    Discard,
    Event,
    Exhausted,
    Failed,
    Kill,
    Raise,
    Silent,
    Started,
    Submit,
    Taken,
    TimePassed,
    Wanted,
)
from raybatch.scheduling.scheduler import Scheduler
from raybatch.scheduling.settings import Prefetch, Recovery

RECOVERY = Recovery(max_attempts=3, no_progress_timeout_s=10)


def started(batches: int, nbytes: int | None = None) -> tuple[Scheduler, list[Command]]:
    scheduler = Scheduler(Prefetch(batches, nbytes), RECOVERY)
    return scheduler, scheduler.handle(Started(), 0.0)


def submits(*keys: int) -> list[Command]:
    return [Submit(key, 0, frozenset()) for key in keys]


def test_starts_with_a_full_window() -> None:
    _, commands = started(3)
    assert commands == submits(0, 1, 2)


def test_results_out_of_order_wait_for_their_turn() -> None:
    scheduler, _ = started(3)
    assert scheduler.handle(Completed(2, 0, 1), 0) == []
    assert scheduler.handle(Completed(1, 0, 1), 0) == []
    assert scheduler.handle(Completed(0, 0, 1), 0) == [Deliver(0, 0)]
    assert scheduler.handle(Taken(0), 0) == [Deliver(1, 0), *submits(3)]
    assert scheduler.handle(Taken(1), 0) == [Deliver(2, 0), *submits(4)]


def test_a_duplicate_is_discarded_and_changes_nothing() -> None:
    scheduler, _ = started(2)
    scheduler.handle(Completed(0, 0, 1), 0)
    assert scheduler.handle(Completed(0, 0, 1), 0) == [], "what is told twice is there once"
    scheduler.handle(Taken(0), 0)
    assert scheduler.handle(Completed(0, 0, 1), 0) == [Discard(0, 0)]
    assert scheduler.handle(Failed(0, 0, "late", lost=True), 0) == []
    assert scheduler.handle(Completed(1, 0, 1), 0) == [Deliver(1, 0)]


def test_a_lost_batch_is_made_again_elsewhere() -> None:
    scheduler, _ = started(1)
    again = scheduler.handle(Failed(0, 0, "died", lost=True, worker=7), 0)
    assert again == [Submit(0, 1, frozenset({7}))]
    again = scheduler.handle(Failed(0, 1, "died", lost=True, worker=8), 0)
    assert again == [Submit(0, 2, frozenset({7, 8}))]
    assert scheduler.handle(Completed(0, 0, 1), 0) == [Discard(0, 0)], "of the first attempt"
    last = scheduler.handle(Failed(0, 2, "died again", lost=True, worker=9), 0)
    assert last == [Raise(0, "died again")]


def test_a_batch_lost_before_it_was_begun_is_not_blamed() -> None:
    scheduler, _ = started(1)
    for attempt in range(10):
        lost = Failed(0, attempt, "died", lost=True, begun=False, worker=attempt)
        (again,) = scheduler.handle(lost, 0)
        assert isinstance(again, Submit)
        assert again.attempt == attempt + 1


def test_an_error_of_the_users_code_takes_its_turn_and_the_next_batch_follows() -> None:
    scheduler, _ = started(2)
    assert scheduler.handle(Failed(1, 0, "bad"), 0) == []
    assert scheduler.handle(Completed(0, 0, 1), 0) == [Deliver(0, 0)]
    assert scheduler.handle(Taken(0), 0) == [Raise(1, "bad"), *submits(2)]
    assert scheduler.handle(Taken(1), 0) == submits(3)


def test_the_window_counts_bytes_but_always_admits_the_head() -> None:
    scheduler, commands = started(4, nbytes=35)
    assert commands == submits(0), "no size is known yet"
    assert scheduler.handle(Completed(0, 0, 10), 0) == [Deliver(0, 0), *submits(1, 2)]
    assert scheduler.handle(Completed(1, 0, 10), 0) == []
    # Batch 1 holds 10 bytes and batch 2 reserves 10, so the limit of 35 leaves room for one more.
    assert scheduler.handle(Taken(0), 0) == [Deliver(1, 0), *submits(3)]
    assert scheduler.handle(Completed(2, 0, 1000), 0) == []
    assert scheduler.handle(Taken(1), 0) == [Deliver(2, 0)]
    # Batch 2 is larger than the limit. So no batch is begun while another is held or under way.
    assert scheduler.handle(Taken(2), 0) == []
    assert scheduler.handle(Completed(3, 0, 10), 0) == [Deliver(3, 0)]
    assert scheduler.handle(Taken(3), 0) == submits(4)


def test_a_size_from_an_earlier_stream_opens_the_window_at_once() -> None:
    scheduler = Scheduler(Prefetch(4, 35), RECOVERY, largest_bytes=10)
    assert scheduler.handle(Started(), 0) == submits(0, 1, 2)


def test_the_end_of_the_stream_takes_back_what_was_begun_beyond_it() -> None:
    scheduler, _ = started(4)
    scheduler.handle(Exhausted(2), 0)
    scheduler.handle(Completed(0, 0, 1), 0)
    scheduler.handle(Taken(0), 0)
    assert not scheduler.is_finished
    scheduler.handle(Completed(1, 0, 1), 0)
    assert scheduler.handle(Taken(1), 0) == []
    assert scheduler.is_finished


def test_no_progress_while_the_consumer_waits_is_an_error() -> None:
    scheduler, _ = started(2)
    scheduler.handle(Wanted(), 100.0)
    assert scheduler.patience_s(104.0) == pytest.approx(6.0)
    assert scheduler.handle(TimePassed(), 109.0) == []
    scheduler.handle(Completed(1, 0, 1), 109.5)
    assert scheduler.handle(TimePassed(), 110.0) == [], "another batch came meanwhile"
    (command,) = scheduler.handle(TimePassed(), 119.6)
    assert isinstance(command, Raise)
    assert "no_progress_timeout_s" in str(command.reason)


def waiting(recovery: Recovery) -> Scheduler:
    """Return a scheduler of two batches of a second each, whose consumer waits for batch 1."""
    scheduler = Scheduler(Prefetch(2), recovery)
    scheduler.handle(Started(), 0)
    scheduler.handle(Completed(0, 0, 1, seconds=1.0), 1)
    scheduler.handle(Exhausted(2), 1)
    scheduler.handle(Taken(0), 1)
    scheduler.handle(Wanted(), 1)
    return scheduler


def test_a_late_head_is_made_by_another_worker_too() -> None:
    scheduler = waiting(Recovery())
    assert scheduler.patience_s(1) == pytest.approx(1.5), "half of three times what a batch takes"
    assert scheduler.handle(TimePassed((Silent(1, 0, 7, 2.9),)), 3.9) == []
    late = Silent(1, 0, 7, 3.1)
    assert scheduler.handle(TimePassed((late,)), 4.1) == [Submit(1, 1, frozenset({7}))]
    assert scheduler.handle(TimePassed((late,)), 4.2) == [], "the second waits for a place"
    second = Silent(1, 1, 8, 5.0)
    assert scheduler.handle(TimePassed((late, second)), 9) == [], (
        "each further one after twice as long"
    )
    both_late = (Silent(1, 0, 7, 9.0), Silent(1, 1, 8, 6.1))
    assert scheduler.handle(TimePassed(both_late), 10) == [Submit(1, 2, frozenset({7, 8}))]
    assert scheduler.handle(Completed(1, 1, 1), 11) == [Deliver(1, 1)]
    assert scheduler.handle(Completed(1, 0, 1), 12) == [Discard(1, 0)], "a late loser"
    assert scheduler.handle(Failed(1, 2, "died", lost=True), 12) == []


def test_a_loss_while_another_attempt_is_under_way_is_waited_out() -> None:
    scheduler = waiting(Recovery(max_attempts=2, hedge_after=1))
    scheduler.handle(TimePassed((Silent(1, 0, 7, 2.0),)), 3)
    assert scheduler.handle(Failed(1, 0, "died", lost=True, worker=7), 4) == []
    (last,) = scheduler.handle(Failed(1, 1, "died", lost=True, worker=8), 5)
    assert isinstance(last, Raise), "two attempts in all"


def test_only_the_batch_that_is_waited_for_is_hedged() -> None:
    scheduler, _ = started(2)
    scheduler.handle(Completed(0, 0, 1, seconds=0.01), 0)
    assert scheduler.handle(TimePassed((Silent(1, 0, 7, 30.0),)), 30) == []


def test_with_a_late_head_goes_what_is_as_late() -> None:
    scheduler = Scheduler(Prefetch(4), Recovery(hedge_after=1))
    scheduler.handle(Started(), 0)
    scheduler.handle(Wanted(), 0)
    silent = (Silent(0, 0, 7, 2.0), Silent(1, 0, 7, 2.0), Silent(2, 0, 8, 0.5))
    late = frozenset({7})
    assert scheduler.handle(TimePassed(silent), 2) == [Submit(0, 1, late), Submit(1, 1, late)]


def test_a_stuck_worker_is_ended_once_and_later_the_more_batches_it_lost() -> None:
    scheduler = waiting(Recovery(batch_timeout_s=5, hedge_after=1000))
    stuck = (Silent(1, 0, 7, 5.0), Silent(9, 0, 7, 5.0))
    assert scheduler.handle(TimePassed((Silent(1, 0, 7, 4.9),)), 6) == []
    assert scheduler.handle(TimePassed(stuck), 6) == [Kill(7)]
    again = scheduler.handle(Failed(1, 0, "ended", lost=True, worker=7), 6)
    assert again == [Submit(1, 1, frozenset({7}))]
    assert scheduler.handle(TimePassed((Silent(1, 1, 8, 9.9),)), 16) == []
    assert scheduler.handle(TimePassed((Silent(1, 1, 8, 10.0),)), 16) == [Kill(8)]


def test_nobody_is_ended_before_it_is_known_how_long_a_batch_takes() -> None:
    scheduler, _ = started(1)
    silent = TimePassed((Silent(0, 0, 7, 5.0),))
    assert scheduler.handle(silent, 5) == []


def test_errors_and_losses_have_budgets_of_their_own() -> None:
    scheduler = Scheduler(Prefetch(1), Recovery(max_attempts=2, max_error_attempts=2))
    scheduler.handle(Started(), 0)
    assert scheduler.handle(Failed(0, 0, "died", lost=True), 0) == [Submit(0, 1, frozenset())]
    assert scheduler.handle(Failed(0, 1, "bad"), 0) == [Submit(0, 2, frozenset())]
    assert scheduler.handle(Failed(0, 2, "bad again"), 0) == [Raise(0, "bad again")]


@pytest.mark.parametrize(
    "name", ["max_attempts", "max_error_attempts", "hedge_after", "batch_timeout_s"]
)
def test_settings_that_make_no_sense_are_errors(name: str) -> None:
    with pytest.raises(ValueError, match=f"Recovery.{name}"):
        Recovery(**{name: 0})


def test_only_a_delivered_batch_can_be_taken() -> None:
    scheduler, _ = started(2)
    with pytest.raises(ValueError, match="batch 0 was not delivered"):
        scheduler.handle(Taken(0), 0)


class Model:
    """A pool and a consumer that follow the choices of Hypothesis, and check every command."""

    def __init__(self, batches: int, nbytes: int | None, count: int) -> None:
        self.batches, self.nbytes, self.count = batches, nbytes, count
        self.scheduler = Scheduler(Prefetch(batches, nbytes), RECOVERY)
        self.running: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.begun = 0
        self.head: Deliver | Raise | None = None
        self.consumed: list[int] = []
        self.largest = 0
        self.has_ended = False

    def check_bytes(self, command: Submit) -> None:
        """Check that held and reserved bytes fit the limit; a single batch may have any size."""
        alone = len(self.running) + len(self.sizes) == 1
        if self.nbytes is not None and command.attempt == 0 and not alone:
            assert self.has_ended, "the first batch goes ahead to tell its size"
            reserved = len(self.running) * self.largest
            assert sum(self.sizes.values()) + reserved <= self.nbytes

    def tell(self, event: Event) -> None:
        for command in self.scheduler.handle(event, 0.0):
            match command:
                case Submit():
                    if command.attempt == 0:
                        assert command.key == self.begun, "batches are begun in order"
                        if command.key == self.count:
                            self.tell(Exhausted(self.count))
                            break
                        self.begun += 1
                    self.running[command.key] = command.attempt
                    assert len(self.running) + len(self.sizes) <= self.batches
                    self.check_bytes(command)
                case Deliver() | Raise():
                    assert self.head is None, "one at a time"
                    assert command.key == len(self.consumed), "in order, each once"
                    assert command.key not in self.running
                    self.head = command
                case Discard():
                    raise AssertionError("every result of the model is waited for")

    def step(self, choice: int, size: int) -> None:
        """Carry out one of the events that are possible now, selected by `choice`."""
        keys = sorted(self.running)
        if choice % 4 == 0 and self.head is not None:
            key = self.head.key
            self.consumed.append(key)
            self.head = None
            self.sizes.pop(key, None)
            self.tell(Taken(key))
        elif keys:
            key = keys[choice % len(keys)]
            attempt = self.running.pop(key)
            self.has_ended = True
            if choice % 7 == 0:
                self.tell(Failed(key, attempt, "lost", lost=choice % 2 == 0, worker=choice))
            else:
                self.sizes[key] = size
                self.largest = max(self.largest, size)
                self.tell(Completed(key, attempt, size))


@given(
    batches=st.integers(1, 6),
    nbytes=st.none() | st.integers(1, 50),
    count=st.integers(0, 20),
    choices=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 30)), max_size=120),
)
def test_every_batch_comes_once_and_in_order_whatever_happens(
    batches: int, nbytes: int | None, count: int, choices: list[tuple[int, int]]
) -> None:
    model = Model(batches, nbytes, count)
    model.tell(Started())
    for choice, size in choices:
        model.step(choice, size)
    # From any state, the consumer gets the remaining batches in a bounded number of steps.
    for step in range(8 * count + 8):
        model.step(4 * step + (0 if model.head is not None else 1), 1)
    assert model.consumed == list(range(count))
    assert model.scheduler.is_finished
