"""Which samples of a batch that cannot be read are the bad ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from raybatch.faults import Fault, fault_of
from raybatch.order import NO_KEYS, Place, RandomKeys, Rows
from raybatch.retries import Retries
from raybatch.sources import BadSample, DataSource, MapDataSource, unmapped

# Returns what goes wrong when a row is read, None if nothing does.
Failing: TypeAlias = Callable[[DataSource, Rows], "BaseException | None"]


# How often a sample is read in vain before it is bad.
_READS = 2


class BadRow(NamedTuple):
    """A sample that cannot be read, and the error that its reading raises."""

    sample: BadSample
    error: BaseException


def bad_rows(source: DataSource, rows: Rows, keys: RandomKeys) -> dict[int, BadRow]:
    """Read the samples one by one; return those that cannot be read, by their row.

    What fails once and then reads well is none of them. An error of the place is the last one, since whatever follows
    would have it too.

    If not a single one of several can, that may be a function of batches that cannot do with one row. Then
    what is under it decides.
    """
    errors = _errors(source, rows, keys)
    if len(errors) == len(rows) > 1 and isinstance(source, MapDataSource):
        return bad_rows(source.source, rows, keys.under())
    return {
        row: BadRow(bad_sample(source, rows.take([row]), error), error)
        for row, error in errors.items()
    }


def known_rows(rows: Rows, known: Mapping[Place, BadSample]) -> dict[int, BadSample]:
    """Return those of `known` that are among `rows`, by their row."""
    return {row: known[place] for row, place in rows.places() if place in known}


def _failing(source: DataSource, one: Rows) -> BaseException | None:
    return _errors(source, one, NO_KEYS).get(0)


def bad_sample(
    source: DataSource, one: Rows, error: BaseException, failing: Failing = _failing
) -> BadSample:
    """Return the record of the sample at `one`, a single row, which raises `error`.

    In a row of several leaves it is the sample of the first one that cannot be read by itself: for which
    `failing(source, row)` is not None.
    """
    source = unmapped(source)
    numbers = dict.fromkeys(path[0] for path, _, _ in one.parts if path)
    if not numbers:
        index = int(one.indices[0])
        return BadSample.of(index, error, source.path_of(index))
    culprit = next(iter(numbers))
    if len(numbers) > 1:
        for number in numbers:
            found = failing(source.children[number], one.child(number))
            if found is not None:
                culprit, error = number, found
                break
    child = source.children[culprit]
    return bad_sample(child, one.child(culprit), error, failing).under(culprit)


def _errors(source: DataSource, rows: Rows, keys: RandomKeys) -> dict[int, BaseException]:
    errors: dict[int, BaseException] = {}
    for row in range(len(rows)):
        error = _error(source, rows.take([row]), keys)
        if error is not None:
            errors[row] = error
            if _is_of_place(error):
                break
    return errors


def _error(source: DataSource, one: Rows, keys: RandomKeys) -> BaseException | None:
    """Return what goes wrong whenever the row `one` is read; None if it can be read."""
    errors: list[BaseException] = []
    while len(errors) < _READS and not any(map(_is_of_place, errors)):
        try:
            Retries().call(source.read, one, keys)
        except (Exception, SystemExit) as error:
            errors.append(error)
        else:
            return None
    return errors[-1]


def _is_of_place(error: BaseException) -> bool:
    return fault_of(error) in (Fault.PLACE, Fault.PASSING)
