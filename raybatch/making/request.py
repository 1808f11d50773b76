"""What a worker is asked for, and what it answers: the only envelopes between the driver and a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raybatch.making.policy import BadSamples
from raybatch.notices import Notice
from raybatch.order import Place, Position, RandomKeys, Rows
from raybatch.sources import BadSample

_NONE: Mapping[Any, Any] = {}
_START = Position()


class Request(NamedTuple):
    """A batch to make: the first `valid` of `rows` are its samples, and `keys` what its random numbers derive from.

    If it `is_padded`, the last of the valid rows is repeated up to the full length. `bad_samples` says what is done
    about samples that cannot be read; None: the error is passed on as it is, and nothing is tried again. The samples in
    `known` are bad, and are not tried: they end the worker that reads them.

    `position` is where a consumer is that has received it, and `is_last` says that its epoch has no more for this rank; making it
    does not depend on them.
    """

    rows: Rows
    keys: RandomKeys
    valid: int
    is_padded: bool = False
    bad_samples: BadSamples | None = None
    known: Mapping[Place, BadSample] = _NONE
    position: Position = _START
    is_last: bool = False

    @property
    def epoch(self) -> int:
        """The number of its epoch, from 0."""
        return self.position.epoch

    @property
    def step(self) -> int:
        """The number of its global batch in the epoch, from 0."""
        return max(0, self.position.batches - 1)

    @classmethod
    def plain(cls, rows: Rows, keys: RandomKeys) -> Request:
        """Return the request for all of `rows`, whose errors are passed on as they are."""
        return cls(rows, keys, len(rows))

    def row(self, number: int) -> Request:
        """Return the request for sample `number` of the batch alone."""
        return Request.plain(self.rows.take([number]), self.keys)


class Result(NamedTuple):
    """What became of a request: the batch, or the `error` in its place.

    `valid` rows of the batch are samples; there is none if it `is_empty`: all its samples are bad. `bad` are the samples that could not be read:
    those that were skipped or replaced, or the one that the error is about. `seconds` has the time that each stage
    took; "other" is what belongs to none. `notices` are what a worker has to tell.
    """

    batch: Any = None
    valid: int = 0
    bad: tuple[BadSample, ...] = ()
    seconds: Mapping[str, float] = _NONE
    error: Any = None
    is_empty: bool = False
    notices: tuple[Notice, ...] = ()
