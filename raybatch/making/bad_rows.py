"""Finds the bad samples of a batch that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from raybatch.faults import Fault, fault_of
from raybatch.order.rows import Place, Rows
from raybatch.order.seeds import NO_KEYS, RandomKeys
from raybatch.retries import Retries
from raybatch.sources.ledger import BadSample
from raybatch.sources.mapped import MapDataSource, unmapped
from raybatch.sources.source import DataSource


class Trouble(NamedTuple):
    """Why a sample cannot be read: the type and the message of an exception, and its fault.

    The exception itself is not kept: its traceback would keep all frames and their variables.
    """

    error: str
    message: str
    fault: Fault

    @classmethod
    def of(cls, error: BaseException) -> Trouble:
        """Return the trouble that `error` describes."""
        return cls(type(error).__name__, str(error), fault_of(error))

    @property
    def is_of_place(self) -> bool:
        """Whether the cause is not the sample but the place where it is stored."""
        return self.fault in (Fault.PLACE, Fault.PASSING)


class BadRow(NamedTuple):
    """A sample that cannot be read, and the fault behind it."""

    sample: BadSample
    fault: Fault


# Reads a row, and returns why it cannot be read; None if it can.
Failing: TypeAlias = Callable[[DataSource, Rows], "Trouble | None"]

# A sample is bad if this many reads of it fail.
_NUM_READS = 2


def bad_rows(source: DataSource, rows: Rows, keys: RandomKeys) -> dict[int, BadRow]:
    """Read the samples one by one; return those that cannot be read, by their row.

    A sample that fails once and then reads well is not bad. The search stops at the first sample
    whose storage is at fault, since all further samples would fail too.

    If every sample fails, the cause may be a function of `map` that cannot handle a batch of one
    row. Then the source below that function decides.
    """
    troubles: dict[int, Trouble] = {}
    for row in range(len(rows)):
        trouble = _trouble(source, rows.take([row]), keys)
        if trouble is not None:
            troubles[row] = trouble
            if trouble.is_of_place:
                break
    if len(troubles) == len(rows) > 1 and isinstance(source, MapDataSource):
        return bad_rows(source.source, rows, keys.under())
    return {
        row: BadRow(bad_sample(source, rows.take([row]), trouble), trouble.fault)
        for row, trouble in troubles.items()
    }


def known_rows(rows: Rows, known: Mapping[Place, BadSample]) -> dict[int, BadSample]:
    """Return the samples in `known` that are among `rows`, by their row."""
    return {row: known[place] for row, place in rows.places() if place in known}


def _failing(source: DataSource, one: Rows) -> Trouble | None:
    return _trouble(source, one, NO_KEYS)


def bad_sample(
    source: DataSource, one: Rows, trouble: Trouble, failing: Failing = _failing
) -> BadSample:
    """Return the record of the bad sample at `one`, a single row with this `trouble`.

    If the row comes from several sources, the record names the first source whose part of the row
    cannot be read by itself: `failing(source, part)` is not None.
    """
    source = unmapped(source)
    numbers = dict.fromkeys(path[0] for path, *_ in one.parts if path)
    if not numbers:
        index = int(one.indices[0])
        return BadSample(index, trouble.error, trouble.message, source.path_of(index))
    culprit = next(iter(numbers))
    if len(numbers) > 1:
        for number in numbers:
            found = failing(source.children[number], one.child(number))
            if found is not None:
                culprit, trouble = number, found
                break
    child = source.children[culprit]
    return bad_sample(child, one.child(culprit), trouble, failing).under(culprit)


def _trouble(source: DataSource, one: Rows, keys: RandomKeys) -> Trouble | None:
    """Return why the row `one` cannot be read; None if it can."""
    trouble = None
    for _ in range(_NUM_READS):
        try:
            Retries().call(source.read, one, keys)
        except (Exception, SystemExit) as error:
            trouble = Trouble.of(error)
        else:
            return None
        if trouble.is_of_place:
            break
    return trouble
