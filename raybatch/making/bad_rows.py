"""Which samples of a batch that cannot be read are the bad ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from raybatch.faults import Fault, fault_of
from raybatch.order import NO_KEYS, Place, RandomKeys, Rows
from raybatch.retries import Retries
from raybatch.sources import BadSample, DataSource, MapDataSource, unmapped


class Trouble(NamedTuple):
    """What goes wrong with a sample: the kind and the message of an exception, and whose fault it is.

    The exception itself would keep all frames that it came through, and what they hold.
    """

    error: str
    message: str
    fault: Fault

    @classmethod
    def of(cls, error: BaseException) -> Trouble:
        """Return what `error` says."""
        return cls(type(error).__name__, str(error), fault_of(error))

    @property
    def is_of_place(self) -> bool:
        """Whether it is not about this sample, but about the place where it is."""
        return self.fault in (Fault.PLACE, Fault.PASSING)


class BadRow(NamedTuple):
    """A sample that cannot be read, and whose fault that is."""

    sample: BadSample
    fault: Fault


# Returns what goes wrong when a row is read, None if nothing does.
Failing: TypeAlias = Callable[[DataSource, Rows], "Trouble | None"]

# How often a sample is read in vain before it is bad.
_READS = 2


def bad_rows(source: DataSource, rows: Rows, keys: RandomKeys) -> dict[int, BadRow]:
    """Read the samples one by one; return those that cannot be read, by their row.

    What fails once and then reads well is none of them. Trouble with the place is the last, since whatever follows would
    have it too.

    If not a single one of several can, that may be a function of batches that cannot do with one row. Then
    what is under it decides.
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
    """Return those of `known` that are among `rows`, by their row."""
    return {row: known[place] for row, place in rows.places() if place in known}


def _failing(source: DataSource, one: Rows) -> Trouble | None:
    return _trouble(source, one, NO_KEYS)


def bad_sample(
    source: DataSource, one: Rows, trouble: Trouble, failing: Failing = _failing
) -> BadSample:
    """Return the record of the sample at `one`, a single row, which has that `trouble`.

    In a row of several leaves it is the sample of the first one that cannot be read by itself: for which
    `failing(source, row)` is not None.
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
    """Return what goes wrong whenever the row `one` is read; None if it can be read."""
    trouble = None
    for _ in range(_READS):
        try:
            Retries().call(source.read, one, keys)
        except (Exception, SystemExit) as error:
            trouble = Trouble.of(error)
        else:
            return None
        if trouble.is_of_place:
            break
    return trouble
