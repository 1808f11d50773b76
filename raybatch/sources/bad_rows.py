"""Which samples of a batch that cannot be read are the bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from raybatch.order import NO_KEYS, RandomKeys
from raybatch.sources.bad_samples import BadSample, Place
from raybatch.sources.batch import batch_length, take_rows
from raybatch.sources.source import AbstractDataSource, MapDataSource


def bad_rows(source: AbstractDataSource, indices: Any, keys: RandomKeys) -> dict[int, BadSample]:
    """Read the samples at `indices` one by one; return those that cannot be read, by their row.

    If not a single one of several can, that may be a function of batches that cannot do with one row. Then
    what is under it decides.
    """
    errors = _errors(source, indices, keys)
    count = batch_length(indices)
    if len(errors) == count > 1 and isinstance(source, MapDataSource):
        return bad_rows(source.source, indices, keys.under())
    return {
        row: bad_sample(source, take_rows(indices, [row]), error) for row, error in errors.items()
    }


Failing = Callable[[AbstractDataSource, Any], "BaseException | None"]


def _failing(source: AbstractDataSource, one: Any) -> BaseException | None:
    return _errors(source, one, NO_KEYS).get(0)


def bad_sample(
    source: AbstractDataSource, one: Any, error: BaseException, failing: Failing = _failing
) -> BadSample:
    """Return the record of the sample at `one`, the indices of one row, which raises `error`.

    In a row of several members it is the sample of the first one that cannot be read by itself: for which
    `failing(member, its indices)` is not None.
    """
    parts = source.parts(one)
    if not parts:
        index = int(one[0])
        return BadSample.of(index, error, source.path_of(index))
    number, member, own = parts[0]
    if len(parts) > 1:
        for part in parts:
            found = failing(*part[1:])
            if found is not None:
                (number, member, own), error = part, found
                break
    return bad_sample(member, own, error, failing).under(number)


def known_rows(
    source: AbstractDataSource, indices: Any, known: Mapping[Place, BadSample]
) -> dict[int, BadSample]:
    """Return those of `known` that are among the samples at `indices`, by their row."""
    return {row: known[place] for row, place in sample_places(source, indices) if place in known}


def sample_places(source: AbstractDataSource, indices: Any) -> Iterator[tuple[int, Place]]:
    """Iterate over all samples at `indices`, each with its row."""
    parts = source.parts(indices)
    for number, member, own in parts:
        for row, (way, index) in sample_places(member, own):
            yield row, ((number, *way), index)
    if not parts:
        yield from ((row, ((), int(index))) for row, index in enumerate(indices))


def _errors(source: AbstractDataSource, indices: Any, keys: RandomKeys) -> dict[int, BaseException]:
    errors: dict[int, BaseException] = {}
    for row in range(batch_length(indices)):
        try:
            source.read(take_rows(indices, [row]), keys.at([row]))
        except (Exception, SystemExit) as error:
            errors[row] = error
    return errors
