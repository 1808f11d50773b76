"""The race: checks the pixels of all contenders, then times them in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from raybatch.bench.contenders import PLAIN, Contender
from raybatch.bench.launch import RunError, run
from raybatch.bench.measures import Seen, Times, difference, epochs_to_look_at
from raybatch.bench.processes import Usage
from raybatch.bench.work import Work

RIGHT, MISSING, FAILED, DIFFERS = "right", "missing", "failed", "differs"


@dataclass(frozen=True)
class Round:
    """One run: its times, the CPU seconds of its timed stretch, and its peak memory."""

    times: Times
    cpu_s: float
    peak_bytes: int


@dataclass
class Standing:
    """The standing of a contender.

    Args:
        contender: The contender.
        state: "right", "missing", "failed" or "differs".
        note: Why it is in this state.
        log: The end of the output of a failed contender.
        versions: The versions of the modules that it needs.
        rounds: Each finished round, by its number.
    """

    contender: Contender
    state: str = RIGHT
    note: str = ""
    log: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    rounds: dict[int, Round] = field(default_factory=dict)

    def run(self, work: Work, *, look: bool) -> tuple[dict[str, Any], Usage] | None:
        """Let the contender do `work`, as `launch.run` does.

        If it fails, note this and return None. A failed contender is not run again.
        """
        try:
            return run(self.contender, work, look=look)
        except RunError as error:
            self.state, self.note, self.log = FAILED, str(error), error.log
            return None


class Race:
    """`contenders` do `work` in turn, A B C, for `rounds` rounds.

    Each run is in a fresh process: one epoch to warm up, then `work.epochs` that are timed as one
    stretch. Contenders with wrong pixels, images or order are not timed.
    """

    def __init__(self, work: Work, contenders: list[Contender], rounds: int) -> None:
        self.work = work
        self.rounds = rounds
        self.standings = [Standing(contender) for contender in contenders]

    def __len__(self) -> int:
        """Return the largest possible number of steps."""
        return 1 + len(self.standings) * (1 + self.rounds)

    def steps(self) -> Iterator[str]:
        """Run the race; yield the name of each step before it begins.

        RunError if the plain loop itself fails.
        """
        yield "pixels: the reference"
        looked_at = replace(self.work, epochs=epochs_to_look_at(self.work))
        reference = look(PLAIN, looked_at)
        for standing in self.standings:
            yield f"pixels: {standing.contender.title}"
            check(standing, looked_at, reference)
        for number in range(self.rounds):
            for standing in self.standings:
                yield f"round {number + 1} of {self.rounds}: {standing.contender.title}"
                if standing.state == RIGHT:
                    self._time(standing, number)

    def _time(self, standing: Standing, number: int) -> None:
        warmed = replace(self.work, epochs=1 + self.work.epochs)
        if (done := standing.run(warmed, look=False)) is not None:
            times, usage = done[0]["times"], done[1]
            cpu_s = usage.cpu_between(times.began, times.ended)
            standing.rounds[number] = Round(times, cpu_s, usage.peak_bytes)


def look(contender: Contender, work: Work) -> Seen:
    """Return the indices and looks of `contender`'s batches; RunError if it fails."""
    seen: Seen = run(contender, work, look=True)[0]["seen"]
    return seen


def check(standing: Standing, work: Work, reference: Seen) -> None:
    """Note in `standing` whether its contender gives the output of the plain loop, `reference`."""
    contender = standing.contender
    if not contender.delivers or contender == PLAIN:
        return
    if (done := standing.run(work, look=True)) is None:
        return
    outcome, _ = done
    if "missing" in outcome:
        standing.state = MISSING
        standing.note = outcome["missing"]
        return
    standing.versions = outcome["versions"]
    problem = difference(contender, outcome["seen"], reference, work)
    if problem is not None:
        standing.state, standing.note = DIFFERS, problem
