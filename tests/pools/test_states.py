"""The scheduler follows its table of transitions exactly, under random events."""

import random
from collections import defaultdict
from collections.abc import Iterator

from raybatch.scheduling.messages import (
    Command,
    Completed,
    Deliver,
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
from raybatch.scheduling.states import TRANSITIONS, State, Transition

RECOVERY = Recovery(
    max_attempts=2,
    max_error_attempts=2,
    hedge_after=1,
    batch_timeout_s=6,
    no_progress_timeout_s=10,
)
NUM_BATCHES = 12

Row = tuple[State, Transition]
ROWS = {(before, row) for before, rows in TRANSITIONS.items() for row in rows}


def explanation(
    before: State, event: type[Event] | None, after: State, commands: list[type[Command]]
) -> list[Row] | None:
    """Return the rows of the table that lead from `before` to `after` with these commands.

    None if no rows do. Only the first row can be triggered by `event`; the others are triggered by
    a condition alone.
    """
    if before is after and not commands:
        return []
    for row in TRANSITIONS[before]:
        own = [] if row.command is None else [row.command]
        if row.event in (event, None) and commands[: len(own)] == own:
            rest = explanation(row.after, None, after, commands[len(own) :])
            if rest is not None:
                return [(before, row), *rest]
    return None


class Recorder:
    """A pool and a consumer that act at random, and compare each step with the table."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.scheduler = Scheduler(Prefetch(rng.randint(1, 4)), RECOVERY)
        self.attempts: list[Submit] = []
        self.head: Deliver | Raise | None = None
        self.used: set[Row] = set()

    def tell(self, event: Event) -> None:
        keys = range(NUM_BATCHES + 8)
        before = {key: self.scheduler.state_of(key) for key in keys}
        commands = self.scheduler.handle(event, self.now)
        by_key: defaultdict[int, list[type[Command]]] = defaultdict(list)
        for command in commands:
            if not isinstance(command, Kill):
                by_key[command.key].append(type(command))
        for key in keys:
            after = self.scheduler.state_of(key)
            rows = explanation(before[key], type(event), after, by_key[key])
            assert rows is not None, (
                f"{event} moved batch {key} from {before[key]} to {after} with {by_key[key]}"
            )
            self.used.update(rows)
        self.carry_out(commands)

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Submit() if command.attempt == 0 and command.key >= NUM_BATCHES:
                    self.tell(Exhausted(command.key))
                    return  # the loop of a stream drops the remaining commands too
                case Submit():
                    self.attempts.append(command)
                case Deliver() | Raise():
                    self.head = command

    def events(self) -> Iterator[Event]:
        """Iterate over random events that can happen, including late and repeated events."""
        while True:
            silent_s = self.rng.choice([0.5, 3.0, 5.0])
            made = self.rng.choice(self.attempts[-8:])
            match self.rng.randrange(6):
                case 0 | 1:
                    yield Completed(made.key, made.attempt, nbytes=1)
                case 2:
                    is_lost = self.rng.random() < 0.5
                    yield Failed(made.key, made.attempt, "why", lost=is_lost, worker=made.attempt)
                case 3:
                    yield TimePassed(
                        tuple(Silent(own.key, own.attempt, 0, silent_s) for own in self.attempts)
                    )
                case 4 if self.head is not None:
                    key, self.head = self.head.key, None
                    yield Taken(key)
                case 5:
                    yield Wanted()

    def run(self, num_events: int) -> None:
        self.tell(Started())
        events = self.events()
        for _ in range(num_events):
            self.now += self.rng.choice([0.1, 1.0, 11.0])
            self.tell(next(events))


def test_the_scheduler_does_what_the_table_says_and_all_of_it() -> None:
    used: set[Row] = set()
    for seed in range(60):
        recorder = Recorder(random.Random(seed))
        recorder.run(num_events=150)
        used |= recorder.used
    unused = "\n".join(f"{before}: {row}" for before, row in ROWS - used)
    assert not unused, f"these rows of the table never happened:\n{unused}"
