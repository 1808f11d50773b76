"""What the workers are asked for a task, and what the caller gets for their answer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from raybatch.errors import BatchError, HostError, WorkerLostError
from raybatch.loader.plan import Plan, Task
from raybatch.order import NO_KEYS
from raybatch.pools import Failure, Outcome, result_of
from raybatch.sources import (
    AbstractDataSource,
    BadSample,
    BadSampleFound,
    BadSampleLedger,
    BadSamples,
    Batch,
    EpochTally,
    KeyedRead,
    Place,
    Request,
    StrictRead,
    TolerantRead,
    bad_sample,
    check_tolerable,
    sample_places,
)

# Has `read(item)` made for each item, by the loader's pool, and returns what became of each.
Attempt: TypeAlias = "Callable[[Callable[[Any], Any], Iterable[Any]], list[Outcome[Any]]]"

# Has `read(item)` made on each host of the pool, and returns the results or failures by host.
OnEachHost: TypeAlias = "Callable[[Callable[[Any], Any], Any], dict[str, Any]]"


class Receiver:
    """Reads as `setting` has it, and finds the samples at which workers die.

    `read(payload(task))` is the workers' part; `receive` the driver's.
    """

    def __init__(self, plan: Plan, setting: BadSamples) -> None:
        check_tolerable(plan.source, setting)
        self.setting = setting
        self.ledger = BadSampleLedger()
        self._plan = plan
        self._deadly: dict[Place, BadSample] = {}
        self._tolerates = setting.policy != "raise"
        self._allowed = setting.allowed(plan.source.num_samples())
        self.read: Callable[[Any], Any] = StrictRead(plan.source)
        self.payload: Callable[[Task], Any] = operator.attrgetter("indices", "keys")
        if self._tolerates:
            self.read = TolerantRead(plan.source, setting.policy == "replace")
            self.payload = self._request
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Count the bad samples from here on."""
        self._tally = EpochTally(self.ledger, self.setting, self._allowed)

    def receive(
        self, outcome: Outcome[Task], attempt: Attempt, on_each_host: OnEachHost | None
    ) -> Batch | None:
        """Return the batch of `outcome`, None if no sample of it is left.

        `on_each_host` is None if there are no hosts but this one.
        BatchError if it cannot be made, or not on every host; BadSamplesError if more samples are bad than the
        setting allows.
        """
        task = outcome.item
        if isinstance(outcome.error, WorkerLostError):
            outcome = self._made_in_parts(task, attempt)
        if on_each_host is not None:
            self._check_hosts(outcome, on_each_host)
        if outcome.error is not None:
            try:
                raise _batch_error(task, outcome.error)
            finally:
                del outcome  # the traceback of its error holds this frame
        if not self._tolerates:
            return _with_valid(task, outcome.value, task.valid)
        batch, valid, bad = outcome.value
        self._tally.take(bad, task.epoch, task.step)
        if batch is not None:
            return _with_valid(task, batch, valid)
        if task.padded_to is None and self._plan.split.world_size == 1:
            return None
        raise BatchError(
            task.epoch,
            task.step,
            "none of its samples can be read, and other ranks count on it: exclude them, or use "
            'bad_samples="replace"',
        )

    def samples_in(self, task: Task, value: Any) -> int:
        """Return how many samples are in the value that `read` returned for `task`."""
        return value.valid if self._tolerates else task.valid

    def _request(self, task: Task) -> Request:
        is_padded = task.padded_to is not None
        return Request(task.indices, task.keys, task.valid, is_padded, self._deadly)

    def _check_hosts(self, outcome: Outcome[Task], on_each_host: OnEachHost) -> None:
        """Raise BatchError if a sample of the batch is bad on some hosts only: then it is not the sample's fault.

        A disk that is not mounted would else cost a part of the data set in silence.
        """
        task, error = outcome.item, outcome.error
        found: tuple[BadSample, ...] = ()
        if isinstance(error, BadSampleFound):
            found = (error.sample,)
        elif error is None and self._tolerates:
            found = outcome.value.bad
        for bad in found:
            if bad not in self.ledger and bad.place not in self._deadly:
                hosts = self._hosts_without(task, bad, on_each_host)
                if hosts:
                    raise _batch_error(task, HostError(str(bad), hosts))

    def _hosts_without(
        self, task: Task, bad: BadSample, on_each_host: OnEachHost
    ) -> dict[str, str]:
        """Return what goes wrong on which hosts with a sample that this process can read; {} if it cannot."""
        read, row = KeyedRead(self._plan.source), self._row_of(task, bad)
        if row is None or isinstance(result_of(read, row, (KeyboardInterrupt,)), Failure):
            return {}
        answers: dict[str, Any] = {}
        for _ in range(2):  # a fault that passes is not the host's
            answers = on_each_host(read, row)
            if not any(isinstance(answer, Failure) for answer in answers.values()):
                return {}
        return {
            host: f"{type(answer.error).__name__}: {answer.error}"
            for host, answer in answers.items()
            if isinstance(answer, Failure)
        }

    def _row_of(self, task: Task, bad: BadSample) -> tuple[Any, Any] | None:
        """Return the indices and the keys of the row of the batch that is `bad`; None for a replacement."""
        for number, place in sample_places(self._plan.source, task.indices):
            if place == bad.place and number < task.valid:
                row = task.row(number)
                return row.indices, row.keys
        return None

    def _made_in_parts(self, task: Task, attempt: Attempt) -> Outcome[Any]:
        """Have each sample read by itself, note those that end their worker, and make the batch anew.

        A worker ends once or twice for each of them, however many samples there are in the batch; halving
        the batch again and again would end one for each half that holds such a sample.
        """
        source, deadly = self._plan.source, None
        rows = [task.row(number) for number in range(task.valid)]
        alone = attempt(KeyedRead(source), [(row.indices, row.keys) for row in rows])

        def ends_its_worker(member: AbstractDataSource, one: Any) -> BaseException | None:
            (tried,) = attempt(KeyedRead(member), [(one, NO_KEYS)])
            return tried.error if isinstance(tried.error, WorkerLostError) else None

        for row, tried in zip(rows, alone, strict=True):
            if isinstance(tried.error, WorkerLostError):
                deadly = bad_sample(source, row.indices, tried.error, ends_its_worker)
                self._deadly[deadly.place] = deadly
        if deadly is not None and not self._tolerates:
            error = WorkerLostError(
                f'{deadly} ends every worker that reads it; exclude it, or set bad_samples="skip". The last '
                f"time: {deadly.message}"
            )
            return Outcome(task, error=error)
        (outcome,) = attempt(self.read, [self.payload(task)])
        return outcome


def _batch_error(task: Task, error: Exception) -> BatchError:
    where = ""
    if isinstance(error, BadSampleFound):
        where = f"{error.sample}: "
        error = error.__cause__  # type: ignore[assignment] # it is always raised from one
    made = BatchError(task.epoch, task.step, f"{where}{type(error).__name__}: {error}")
    made.__cause__ = error
    return made


def _with_valid(task: Task, batch: Batch, valid: int) -> Batch:
    if task.padded_to is None:
        return batch
    return (*batch, np.arange(task.padded_to) < valid)
