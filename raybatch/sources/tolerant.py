"""Making batches although some of their samples cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from raybatch.errors import BadSamplesError
from raybatch.order import NO_KEYS, Cursor, RandomKeys
from raybatch.sources.bad_rows import bad_rows, known_rows
from raybatch.sources.bad_samples import BadSample, BadSamples, Place
from raybatch.sources.batch import Batch, batch_length, put_row, take_rows
from raybatch.sources.ledger import BadSampleLedger, EpochTally
from raybatch.sources.source import AbstractDataSource, check_inner, keyed_indices

# A replacement that is bad too is replaced in turn, this often.
_MAX_DRAWS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """A batch to make: its first `valid` rows are samples.

    If it `is_padded`, the last of them is repeated up to its full length. The samples in `known` are bad, and
    are not tried: they end the worker that reads them.
    """

    indices: Any
    keys: RandomKeys
    valid: int
    is_padded: bool = False
    known: Mapping[Place, BadSample] = field(default_factory=dict)


class MadeBatch(NamedTuple):
    """What became of a request: the batch, or None if no row is left; `valid` rows of it are samples."""

    batch: Batch | None
    valid: int
    bad: tuple[BadSample, ...]


class TolerantRead:
    """Makes batches of `source` without its bad samples, or with others in their place (`replaces`).

    The batch is read as a whole. If that fails, each of its samples is read alone, which tells the bad ones,
    whatever kind of array or accessor they come from; and the rest is read again as a whole.
    """

    def __init__(self, source: AbstractDataSource, replaces: bool) -> None:
        self._source = source
        self._replaces = replaces

    def __call__(self, request: Request) -> MadeBatch:
        made = _Making(self._source, request, self._replaces)
        if request.known:
            made.drop(known_rows(self._source, request.indices, request.known))
        is_checked = False
        while made.rows:
            try:
                return MadeBatch(made.read(), len(made.rows), tuple(made.bad))
            except (Exception, SystemExit):
                found = made.find_bad()
                # Samples that can be read one by one deserve another try, but only one.
                if not found and is_checked:
                    raise
                is_checked = True
            made.drop(found)
        return MadeBatch(None, 0, tuple(made.bad))


class BadSampleFound(Exception):  # noqa: N818 - it stands beside the error, its cause
    """Making a batch failed at `sample`, the first of it that cannot be read."""

    def __init__(self, sample: BadSample) -> None:
        super().__init__(sample)
        self.sample = sample


class StrictRead:
    """Makes batches of `source` from (indices, keys); an error is raised by way of `BadSampleFound`.

    If the samples can be read one by one, the error is raised as it is.
    """

    def __init__(self, source: AbstractDataSource) -> None:
        self._source = source

    def __call__(self, indices_and_keys: tuple[Any, RandomKeys]) -> Batch:
        try:
            return self._source.read(*indices_and_keys)
        except Exception as error:
            sample = self._first_bad(*indices_and_keys)
            if sample is None:
                raise
            raise BadSampleFound(sample) from error

    def _first_bad(self, indices: Any, keys: RandomKeys) -> BadSample | None:
        try:
            found = bad_rows(self._source, indices, keys)
        except Exception:
            return None  # the indices of a source of the user's own may have any structure
        return found[min(found)] if found else None


class _Making:
    """The rows that are to be in a batch, and the bad samples met so far."""

    def __init__(self, source: AbstractDataSource, request: Request, replaces: bool) -> None:
        self._source, self._request, self._replaces = source, request, replaces
        self._indices = request.indices
        self._length = batch_length(request.indices)
        self._draws: dict[int, Iterator[Any]] = {}
        self.rows = list(range(request.valid))
        self.bad: list[BadSample] = []

    def read(self) -> Batch:
        rows = self.rows
        if len(rows) == self._length:
            return self._source.read(self._indices, self._request.keys)
        if self._request.is_padded:
            rows = rows + rows[-1:] * (self._length - len(rows))
        return self._source.read(take_rows(self._indices, rows), self._request.keys.at(rows))

    def find_bad(self) -> dict[int, BadSample]:
        """Return the bad ones among the rows, by row."""
        indices = take_rows(self._indices, self.rows)
        found = bad_rows(self._source, indices, self._request.keys.at(self.rows))
        return {self.rows[number]: sample for number, sample in found.items()}

    def drop(self, found: Mapping[int, BadSample]) -> None:
        """Take the rows `found` out, or put other samples there."""
        for row, sample in sorted(found.items()):
            self.bad.append(sample)
            if self._replaces:
                self._indices = put_row(self._indices, row, self._replacement(row))
            else:
                self.rows.remove(row)

    def _replacement(self, row: int) -> Any:
        """Return the indices of a sample to take the place of `row`.

        Whether it can be read shows when the batch is read again; if not, this is called again.
        """
        if row not in self._draws:
            self._draws[row] = self._drawn_for(row)
        for drawn in self._draws[row]:
            bad = known_rows(self._source, drawn, self._request.known)
            if not bad:
                return drawn
            self.bad.extend(bad.values())
        raise BadSamplesError(
            f"{_MAX_DRAWS} samples were drawn to replace a bad one, and none can be read; the last: "
            f"{self.bad[-1].message}"
        )

    def _drawn_for(self, row: int) -> Iterator[Any]:
        keys = self._request.keys.at([row])
        one = take_rows(self._request.indices, [row])
        rng: np.random.Generator = keys.of_replacement(
            *self._source.sample_numbers(one, keys.position)[0]
        )
        return (self._source.draw(one, rng) for _ in range(_MAX_DRAWS))


class TolerantDataSource(AbstractDataSource):
    """The batches of `source`, with its bad samples skipped or replaced; `bad_samples` lists them.

    `setting` is a policy, "skip" or "replace", or a `BadSamples`. A batch without a single sample that can be
    read is left out. In a `Loader` this is what its argument `bad_samples` does. `map` and `map_samples` go
    below: where the function fails, that is a bad sample too. ValueError for "raise", which is what `source`
    does by itself, and for a source whose arrays may be of unequal length; TypeError for one without random
    access.
    """

    def __init__(self, source: AbstractDataSource, setting: BadSamples | str) -> None:
        self.source = source
        self.setting = BadSamples.of(setting)
        check_inner("source", source)
        check_tolerable(source, self.setting)
        if self.setting.policy == "raise":
            raise ValueError('the policy must be "skip" or "replace"; source itself raises')
        self.bad_samples = BadSampleLedger()
        self.tolerant_read = TolerantRead(source, self.setting.policy == "replace")

    @property
    def is_random_access(self) -> bool:
        return True

    @property
    def is_outermost(self) -> bool:
        return True

    @property
    def uses_rng(self) -> bool:
        return self.source.uses_rng

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration, bad ones included."""
        return self.source.num_samples(**kwargs)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        """Return the number of batches in one iteration, those of which nothing is left included."""
        return self.source.num_batches(batch_size, **kwargs)

    def cursor(self, **kwargs: Any) -> Cursor:
        return self.source.cursor(**kwargs)

    def batch_iterator(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        made = map(self.tolerant_read, self.requests(batch_size, **kwargs))
        return self.delivered(made, **kwargs)

    def requests(self, batch_size: int, **kwargs: Any) -> Iterator[Request]:
        """Iterate over what `tolerant_read` is to make, wherever that is."""
        pairs = keyed_indices(self.source, batch_size, **kwargs)
        return (Request(indices, keys, batch_length(indices)) for indices, keys in pairs)

    def delivered(self, made: Iterator[MadeBatch], **kwargs: Any) -> Iterator[Batch]:
        """Iterate over the batches in `made`, and note the bad samples."""
        allowed = self.setting.allowed(self.num_samples(**kwargs))
        tally = EpochTally(self.bad_samples, self.setting, allowed)
        for number, (batch, _, bad) in enumerate(made):
            tally.take(bad, 0, number)
            if batch is not None:
                yield batch

    def read(self, indices: Any, keys: RandomKeys) -> Batch:
        made = self.tolerant_read(Request(indices, keys, batch_length(indices)))
        if made.batch is None:
            raise BadSamplesError(f"none of the samples can be read: {made.bad[-1].message}")
        return made.batch

    def samples_by_indices_nomapping(self, indices: Any) -> Batch:
        return self.read(indices, NO_KEYS)

    def map(self, fn: Callable[..., Batch], rng: bool = False) -> Any:
        return TolerantDataSource(self.source.map(fn, rng), self.setting)

    def map_samples(self, fn: Callable[..., tuple[Any, ...]]) -> Any:
        return TolerantDataSource(self.source.map_samples(fn), self.setting)

    def without(self, samples: Collection[BadSample]) -> TolerantDataSource:
        return TolerantDataSource(self.source.without(samples), self.setting)


def check_tolerable(source: AbstractDataSource, setting: BadSamples) -> None:
    """Raise ValueError or TypeError if samples of `source` cannot be skipped or replaced one by one."""
    if not source.is_random_access:
        raise TypeError(
            f"bad samples of a {type(source).__name__} cannot be found: it has no random access"
        )
    if setting.policy != "raise" and not source.has_equal_lengths:
        raise ValueError(
            "the arrays of a composite with trim=False may differ in length, so a sample of it cannot be "
            f'skipped or replaced: let it trim, or use bad_samples="raise", not {setting.policy!r}'
        )
