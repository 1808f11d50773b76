"""One sample, tried where a loader is made, so that what is wrong with all of them is an error there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from raybatch.errors import FirstSampleError, ReturnError
from raybatch.faults import Fault, fault_of
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.loader.producer import Producer
from raybatch.making import BadSamples, Trouble, bad_sample
from raybatch.order import NO_KEYS
from raybatch.sources import DataSource, named_error, rows_at

_log = logging.getLogger(__name__)


def try_first_sample(
    source: DataSource, producer: Producer, setting: BadSamples, name: str
) -> None:
    """Read the first sample of `source` in this process; FirstSampleError if no worker of `producer` could make a batch of it.

    Where workers have copies of the source, so has the sample: a data set that opens a file at its first sample could not
    travel any more. All random generators are afterwards as they were. What may be due to this process, or to a moment, is
    logged with INFO for the loader `name`, and left to the workers.
    """
    rows = rows_at(source, 0)
    if rows is None:
        return
    try:
        with ForeignRandomness(source).seeding():
            producer.source_of_workers().read(rows, NO_KEYS)
    except (Exception, SystemExit) as error:
        if not _is_everywhere(error, producer, setting):
            reason = f"{type(error).__name__}: {error}"
            _log.info("loader %r: its first sample could not be tried here: %s", name, reason)
            return
        reason = named_error(_names(source, rows, error), error)
        raise FirstSampleError(reason) from error


def _is_everywhere(error: BaseException, producer: Producer, setting: BadSamples) -> bool:
    """Return whether a loader with `setting` would end at `error` on every worker, and not just in this process."""
    if isinstance(error, ReturnError):
        return True
    if producer.differs_from_here:
        # A wrong argument is wrong on all hosts; files and libraries may be on some.
        return any(isinstance(link, TypeError) for link in _causes(error))
    fault = fault_of(error)
    is_tolerated = setting.policy != "raise" and setting.tolerates(fault)
    return fault is not Fault.PASSING and not is_tolerated


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _names(source: DataSource, rows: Any, error: BaseException) -> list[str]:
    try:
        return [str(bad_sample(source, rows, Trouble.of(error)))]
    except Exception:
        return []  # the indices of a source of the user's own may have any structure
