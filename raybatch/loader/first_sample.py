"""Reads one sample when a loader is made, so that an error that all samples share comes early."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from threading import Thread

from raybatch.errors import FirstSampleError, ReturnError
from raybatch.faults import Fault, fault_of
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.loader.plan import Plan
from raybatch.loader.producer import Producer
from raybatch.loader.reasons import reason_of
from raybatch.making.bad_rows import Trouble, bad_sample
from raybatch.making.make import make
from raybatch.making.policy import BadSamples
from raybatch.making.request import Request, Result
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS
from raybatch.sources.ledger import BadSample
from raybatch.sources.mapped import MapDataSource, SampleMapDataSource
from raybatch.sources.source import DataSource, nodes, rows_at

_log = logging.getLogger(__name__)

# A first sample that takes longer is left to the workers.
_MOST_S = 10


def try_first_sample(plan: Plan, producer: Producer, setting: BadSamples, name: str) -> None:
    """Read the first sample of the source of `plan` in this process.

    If workers have copies of the source, a copy is read, because a data set that opens a file when
    it is first read could not be pickled afterwards. The states of all random generators are
    restored.

    FirstSampleError if no worker of `producer` could make a batch of the sample. If only this
    process may be affected, or the error may be temporary, it is logged at INFO for the loader
    `name`, and the workers try again.
    """
    __tracebackhide__ = True  # for the same reason as in `EpochIterator.__next__`
    try:
        source = producer.source_of_workers()
        rows = rows_at(source, 0)
    except Exception as error:  # the workers' own error will say more
        _log.info("loader %r: this process cannot read the source: %s", name, error)
        return
    if rows is None:
        return

    def tried() -> Result:
        with ForeignRandomness(source).seeding():
            result = _tried(source, rows)
            is_wrong = result.error is not None and _is_everywhere(result.error, producer, setting)
            if is_wrong and _has_batch_function(source):
                result = make(source, _first_batch(source, plan.batch_size, setting))
        return result

    # A worker that is stuck is replaced; this process could only wait.
    result = _within(_MOST_S, tried) if producer.has_copies else tried()
    if result is None:
        _log.info(
            "the first sample of loader %r takes over %d s here, so only workers read it",
            name,
            _MOST_S,
        )
        return
    if result.error is None:
        return
    try:
        reason = reason_of(result.error, result.bad, setting)
        if _is_everywhere(result.error, producer, setting):
            raise FirstSampleError(reason) from result.error
        _log.info("loader %r: this process could not read the first sample: %s", name, reason)
    finally:
        del result  # the traceback of its error can refer to this frame


def _within(seconds: float, do: Callable[[], Result]) -> Result | None:
    """Return `do()`, called in a thread; None if it takes longer."""
    results: list[Result] = []
    thread = Thread(target=lambda: results.append(do()), name="raybatch-first-sample", daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def _tried(source: DataSource, rows: Rows) -> Result:
    try:
        return Result(source.read(rows, NO_KEYS))
    except (Exception, SystemExit) as error:
        return Result(error=error, bad=_culprit(source, rows, error))


def _has_batch_function(source: DataSource) -> bool:
    """Return whether `source` has a function of batches, which may fail for a batch of one row."""
    return any(
        isinstance(node, MapDataSource) and not isinstance(node, SampleMapDataSource)
        for node in nodes(source)
    )


def _first_batch(source: DataSource, batch_size: int, setting: BadSamples) -> Request:
    rows = rows_at(source, 0, batch_size)
    assert rows is not None
    return Request(rows, NO_KEYS, len(rows), bad_samples=setting)


def _is_everywhere(error: BaseException, producer: Producer, setting: BadSamples) -> bool:
    """Return whether the loader would stop at `error` on every worker, not just in this process."""
    if isinstance(error, ReturnError):
        return True
    if producer.differs_from_here:
        # A wrong argument is wrong on all hosts; files and libraries can differ between hosts.
        return any(isinstance(link, TypeError) for link in _causes(error))
    fault = fault_of(error)
    is_tolerated = setting.policy != "raise" and setting.tolerates(fault)
    return fault is not Fault.PASSING and not is_tolerated


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _culprit(source: DataSource, rows: Rows, error: BaseException) -> tuple[BadSample, ...]:
    if isinstance(error, ReturnError):
        return ()  # no sample is at fault
    try:
        return (bad_sample(source, rows, Trouble.of(error)),)
    except Exception:
        return ()  # the indices of a user's own source can have any structure
