"""Sources that apply a function to the batches or samples of another source."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from raybatch.collation import Setting, checked_setting, collated
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.order.cursor import Cursor
from raybatch.order.rows import Rows
from raybatch.order.seeds import RandomKeys
from raybatch.order.shuffle import Shuffle
from raybatch.sources.batch import Batch, batch_length, batch_row
from raybatch.sources.ledger import BadSample
from raybatch.sources.returned import called, returned_batch, returned_sample
from raybatch.sources.source import (
    DataSource,
    check_source,
    has_equal_lengths,
    sample_name,
    source_repr,
)
from raybatch.structure import brief, members


class MapDataSource(DataSource):
    """Applies `fn` to each batch of `source`; made by `source.map(fn)`.

    `fn` is called as `fn(*batch)` for tuples, and as `fn(batch)` for dicts and dataclasses. It
    returns the new batch: a tuple, NamedTuple, dict or dataclass, nested or not, of arrays or lists
    with equal numbers of rows. A number or text belongs to the whole batch. ReturnError for
    anything else.

    With `rng`, `fn` also gets `rng=generator`, a NumPy generator keyed by (seed, epoch, batch
    number). This needs a source with random access (TypeError). Before each batch, `seed_globals`
    seeds `random`, `np.random`, torch and the generators that `fn` holds with the same key, and
    restores them afterwards; see `ForeignRandomness`.
    """

    def __init__(
        self,
        source: DataSource,
        fn: Callable[..., Batch],
        rng: bool = False,
        seed_globals: bool = True,
    ) -> None:
        check_source("source", source)
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {fn!r}")
        if rng and not source.is_random_access:
            raise TypeError(
                "random numbers by batch or sample are not supported: this"
                f" {type(source).__name__}, or a child of it, has no random access"
            )
        self.children = (source,)
        self.fn = fn
        self.rng = rng
        self.foreign = ForeignRandomness(fn, seed_globals)

    def __repr__(self) -> str:
        return source_repr(self, brief(self.fn), repr(self.children[0]))

    @property
    def source(self) -> Any:
        """The source whose batches are mapped."""
        return self.children[0]

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return self.children[0].num_samples(**kwargs)

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return self.children[0].num_batches(batch_size, **kwargs)

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        return self.children[0].order(shuffle)

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        batch = self.children[0].read(rows, keys.under())
        rng = keys.of_batch()
        with self.foreign.seeded(rng):
            return self._mapped(batch, **({"rng": rng} if self.rng else {}))

    def _mapped(self, batch: Batch, **options: Any) -> Batch:
        """Return the result of `fn` for `batch`; ReturnError if the result is not a batch."""
        is_even = has_equal_lengths(self.children[0])
        return returned_batch(self.fn, called(self.fn, batch, **options), is_even=is_even)

    def sample_numbers(self, rows: Rows) -> list[tuple[int, ...]]:
        return self.children[0].sample_numbers(rows)

    def draw(self, one: Rows, rng: np.random.Generator) -> Rows:
        return self.children[0].draw(one, rng)

    def without(self, samples: Collection[BadSample]) -> DataSource:
        return self._with_children((self.children[0].without(samples),))

    def path_of(self, index: int) -> str:
        return self.children[0].path_of(index)


class SampleMapDataSource(MapDataSource):
    """Applies `fn` to each sample of `source`; made by `source.map_samples(fn)`.

    `fn` is called as `fn(*sample, rng=generator)` for tuples, and as `fn(sample, rng=generator)`
    for others. The generator is keyed by (seed, epoch, sample index). `fn` returns a tuple,
    NamedTuple, dict or dataclass, nested or not.

    `collate` says how the fields become a batch: one setting for all, or a dict by name or number.
    With "stack", numbers and arrays of one shape become an array, and anything else, such as Pillow
    images, becomes a list. The other settings are "list", `rb.Pad(...)` and `rb.Ragged()`.

    ReturnError if `fn` returns anything else or different members for two samples, or if a field
    cannot be collated as requested. `seed_globals` is as in `MapDataSource`, with the key of the
    sample.
    """

    def __init__(
        self,
        source: DataSource,
        fn: Callable[..., Any],
        collate: Setting = "stack",
        seed_globals: bool = True,
    ) -> None:
        super().__init__(source, fn, rng=True, seed_globals=seed_globals)
        self.collate = checked_setting(collate)
        if not has_equal_lengths(source):
            raise ValueError(
                "the arrays of a composite with trim=False can differ in length, so its batches"
                " have no samples to map: map its children, or use trim=True"
            )

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        batch = self.children[0].read(rows, keys.under())
        numbers = self.children[0].sample_numbers(rows)
        samples: list[Any] = []
        with self.foreign.seeding() as seed:
            for row in range(batch_length(batch)):
                rng = keys.of_sample(*numbers[row])
                seed(rng)
                sample = called(self.fn, batch_row(batch, row), rng=rng)
                samples.append(returned_sample(self.fn, sample, samples[0] if samples else sample))
        by_field = isinstance(self.collate, Mapping) or not samples
        # Give a single setting to each field, so that the batch keeps its fields.
        setting = self.collate if by_field else dict.fromkeys(members(samples[0]), self.collate)
        return collated(samples, setting, lambda row: sample_name(self, rows, row))


def unmapped(source: DataSource) -> DataSource:
    """Return the first source below `source`, or `source` itself, that is not a map."""
    while isinstance(source, MapDataSource):
        (source,) = source.children
    return source
