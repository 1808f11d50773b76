"""Turns a result into what the caller gets: the batch, or an error that names the cause."""

from __future__ import annotations

import logging

import numpy as np

from raybatch.errors import (
    BadSamplesError,
    BatchError,
    HostError,
    WorkerLostError,
)
from raybatch.faults import advice
from raybatch.loader.plan import Plan
from raybatch.loader.producer import Producer
from raybatch.loader.reasons import reason_of
from raybatch.making.bad_rows import Trouble, bad_sample
from raybatch.making.make import make
from raybatch.making.policy import BadSamples, check_tolerable
from raybatch.making.request import Request, Result
from raybatch.notices import say
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS
from raybatch.sources.batch import Batch, batch_length, extended, row_counts
from raybatch.sources.ledger import BadSample, BadSampleLedger
from raybatch.sources.source import DataSource

_log = logging.getLogger(__name__)


class Delivery:
    """Delivers batches, and handles bad samples as `setting` says.

    It counts bad samples. It also finds the samples that end their workers, and the hosts that
    cannot read a good sample.
    """

    def __init__(self, plan: Plan, setting: BadSamples, producer: Producer, name: str) -> None:
        check_tolerable(plan.source, setting)
        samples = plan.num_samples()
        setting.check_limit(samples)
        self.setting = setting
        self.ledger = BadSampleLedger()
        self._plan = plan
        self._producer = producer
        self._name = name
        # None if unknown.
        self._num_samples = None if samples in (None, np.inf) else samples
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Reset the counts of samples and bad samples."""
        self._num_seen = self._num_bad = 0
        self._first_bad: BadSample | None = None

    def end_epoch(self) -> None:
        """Report the number of bad samples of the epoch, if there are any."""
        first, setting = self._first_bad, self.setting
        if first is None or not setting.tell:
            return
        done = "skipped" if setting.policy == "skip" else "replaced"
        say(
            _log,
            f"epoch {first.epoch} of loader {self._name!r}: {self._num_bad} of {self._num_seen}"
            f" samples could not be read, and were {done}. The first error: {first.description}."
            " The loader's `bad_samples` lists all of them",
            loader=self._name,
            policy=setting.policy,
            epoch=first.epoch,
            bad_samples=self._num_bad,
        )
        self.begin_epoch()

    def tell_empty(self, epoch: int) -> None:
        """Report that an epoch has no batch."""
        plan = self._plan
        say(
            _log,
            f"epoch {epoch} of loader {self._name!r} has no batches: the source has"
            f" {plan.source.num_samples()} samples, and the loader batch_size={plan.batch_size},"
            f" {plan.split} and last_batch={plan.last_batch!r}",
            loader=self._name,
            epoch=epoch,
        )

    def batch(self, request: Request, result: Result) -> tuple[Batch, ...]:
        """Return the batch of `result` in a tuple of one; () if none of its samples is left.

        BatchError if the batch cannot be made, or if a host cannot read a good sample of it;
        BadSamplesError if more samples are bad than the setting allows.
        """
        __tracebackhide__ = True  # for the same reason as in `EpochIterator.__next__`
        if isinstance(result.error, WorkerLostError):
            result = self._made_in_parts(request)
        self._check_hosts(request, result)
        if result.error is not None:
            try:
                raise _batch_error(request, result, self.setting)
            finally:
                del result  # the traceback of its error refers to this frame
        self._num_seen += request.valid
        self._count(result.bad, request.epoch, request.step)
        if result.is_empty:
            if not request.is_padded and self._plan.split.world_size == 1:
                return ()
            raise BatchError(
                request.epoch,
                request.step,
                "none of its samples can be read, but other ranks get their part of the batch:"
                ' exclude the samples, or use bad_samples="replace"',
            )
        batch: Batch = result.batch
        if not request.is_padded:
            return (batch,)
        length = len(request.rows)
        if set(row_counts(batch)) != {length}:
            raise BatchError(
                request.epoch,
                request.step,
                f"a function changed its {length} rows to {batch_length(batch)}, so it is unknown"
                ' which of them are padding: use last_batch="drop" or "keep", or a function that'
                " returns one row for each row that it gets",
            )
        return (extended(batch, "valid", np.arange(length) < result.valid),)

    def _count(self, bad: tuple[BadSample, ...], epoch: int, step: int) -> None:
        """Add the bad samples of a batch to the ledger; BadSamplesError if there are too many."""
        for sample in bad:
            met = sample.at(epoch, step)
            if self.ledger.add(met):
                _log_bad_sample(met, self.setting.policy)
            self._first_bad = self._first_bad or met
        self._num_bad += len(bad)
        if self._num_samples is None:
            allowed = self.setting.allowed(self._num_seen, is_all=False)
        else:
            allowed = self.setting.allowed(self._num_samples)
        if bad and self._num_bad > allowed:
            self._first_bad = None  # the error below reports them
            raise BadSamplesError(
                f"{self._num_bad} samples of epoch {epoch} cannot be read so far, and the limit is"
                f" {allowed} (BadSamples.limit={self.setting.limit!r}); the last:"
                f" {bad[-1].description}. What do they have in common? The loader's `bad_samples`"
                " lists them: pass that list as `exclude=`, or set a higher limit"
            )

    def _check_hosts(self, request: Request, result: Result) -> None:
        """Raise BatchError if a sample is bad on some hosts only: then the hosts are at fault.

        Otherwise, a disk that is not mounted would silently remove a part of the data set.
        """
        for bad in result.bad:
            is_new = bad not in self.ledger and bad.place not in self._plan.known
            if is_new and self._producer.spans_hosts:
                hosts = self._hosts_without(request, bad)
                if hosts:
                    error = HostError(str(bad), hosts, advice(*hosts.values()))
                    raise _batch_error(request, Result(error=error), self.setting)

    def _hosts_without(self, request: Request, bad: BadSample) -> dict[str, str]:
        """Return the error of each host that cannot read a sample that this process can read.

        {} if this process cannot read it either.
        """
        rows = {place: row for row, place in request.rows.places() if row < request.valid}
        if bad.place not in rows:
            return {}  # the bad sample was drawn as a replacement
        row = request.row(rows[bad.place])
        if make(self._plan.source, row, (KeyboardInterrupt,)).error is not None:
            return {}
        errors: dict[str, Exception] = {}
        for _ in range(2):  # an error that does not come again is not the host's fault
            answers = self._producer.on_each_host(self._plan.source, row)
            errors = {host: made.error for host, made in answers.items() if made.error is not None}
            if not errors:
                return {}
        return {host: f"{type(error).__name__}: {error}" for host, error in errors.items()}

    def _made_in_parts(self, request: Request) -> Result:
        """Read each sample by itself, record those that end their worker, and make the batch again.

        Each such sample ends one or two workers, whatever the batch size. Halving the batch
        repeatedly would end one worker for each half that contains such a sample.
        """
        source, deadly = self._plan.source, None
        rows = [request.row(number) for number in range(request.valid)]

        def ends_its_worker(child: DataSource, one: Rows) -> Trouble | None:
            (tried,) = self._producer.attempt(child, [Request.plain(one, NO_KEYS)])
            is_lost = isinstance(tried.error, WorkerLostError)
            return Trouble.of(tried.error) if is_lost else None

        for row, tried in zip(rows, self._producer.attempt(source, rows), strict=True):
            if isinstance(tried.error, WorkerLostError):
                deadly = bad_sample(source, row.rows, Trouble.of(tried.error), ends_its_worker)
                self._plan.known[deadly.place] = deadly
        if deadly is not None and self.setting.policy == "raise":
            error = WorkerLostError(
                f'{deadly} ends every worker that reads it; exclude it, or set bad_samples="skip".'
                f" The last time: {deadly.message}"
            )
            return Result(error=error)
        (result,) = self._producer.attempt(source, [request])
        return result


def _batch_error(request: Request, result: Result, setting: BadSamples) -> BatchError:
    error = result.error
    made = BatchError(request.epoch, request.step, reason_of(error, result.bad, setting))
    made.__cause__ = error
    return made


def _log_bad_sample(bad: BadSample, policy: str) -> None:
    _log.warning(
        "epoch %d, batch %d: %s (policy: %s)",
        *(bad.epoch, bad.batch, bad.description, policy),
        extra={
            "policy": policy,
            "epoch": bad.epoch,
            "batch": bad.batch,
            "index": bad.index,
            "path": bad.path,
            "error": f"{bad.error}: {bad.message}",
        },
    )
