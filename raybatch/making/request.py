"""The two messages between the driver and a worker: the request and its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raybatch.making.policy import BadSamples
from raybatch.notices import Notice
from raybatch.order.position import Position
from raybatch.order.rows import Place, Rows
from raybatch.order.seeds import RandomKeys
from raybatch.sources.ledger import BadSample
from raybatch.stores.cache_counts import CacheStats

_NONE: Mapping[Any, Any] = {}
_START = Position()


class Request(NamedTuple):
    """A batch to make. Its samples are the first `valid` of `rows`; `keys` seed its random numbers.

    If `is_padded`, the last valid row is repeated up to the full length. `bad_samples` is the
    setting for samples that cannot be read. If it is None, errors are passed on as they are, and
    nothing is retried. The samples in `known` are bad and never read: they end the worker that
    reads them.

    Two fields have no effect on the batch. `position` is the consumer's position after this batch.
    `is_last` is true for the last batch of this rank's epoch.
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
        """The number of the epoch, from 0."""
        return self.position.epoch

    @property
    def step(self) -> int:
        """The number of the global batch in the epoch, from 0."""
        return max(0, self.position.batches - 1)

    @classmethod
    def plain(cls, rows: Rows, keys: RandomKeys) -> Request:
        """Return a request for all of `rows`, which passes errors on as they are."""
        return cls(rows, keys, len(rows))

    def row(self, number: int) -> Request:
        """Return a request for a single sample: the one at position `number` of this batch."""
        return Request.plain(self.rows.take([number]), self.keys)


class Result(NamedTuple):
    """The result of a request: the batch, or the `error`.

    The first `valid` rows of the batch are samples. `is_empty` is true if all its samples are bad;
    then there is no batch. `bad` lists the samples that cannot be read: those that were skipped or
    replaced, or the one that causes the error. `seconds` maps each stage to its duration; "other"
    is the time outside all stages. `notices` are messages of the worker for the user. `counted` has
    the hits and misses of each cache in the worker.
    """

    batch: Any = None
    valid: int = 0
    bad: tuple[BadSample, ...] = ()
    seconds: Mapping[str, float] = _NONE
    error: Any = None
    is_empty: bool = False
    notices: tuple[Notice, ...] = ()
    counted: tuple[tuple[str, CacheStats], ...] = ()
