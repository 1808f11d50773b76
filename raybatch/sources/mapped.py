"""Sources whose batches or samples a function makes of those of another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from raybatch.collation import Setting, checked_setting, collated
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.order import Cursor, RandomKeys, Rows, Shuffle
from raybatch.sources.batch import Batch, batch_length, batch_row, called
from raybatch.sources.ledger import BadSample
from raybatch.sources.returned import returned_batch, returned_sample
from raybatch.sources.source import (
    DataSource,
    check_source,
    has_equal_lengths,
    sample_name,
    source_repr,
)
from raybatch.structure import brief, members


class MapDataSource(DataSource):
    """Gives `fn(*batch)` for each batch of `source` that is a tuple, and `fn(batch)` for dicts and dataclasses.

    Made by `source.map(fn)`. `fn` returns a tuple, NamedTuple, dict or dataclass, nested or not, of arrays or lists with as many
    rows as each other, and that is the batch; a number or text is for the whole batch. ReturnError for anything else.

    With `rng` it is called with a further `rng=generator`, a NumPy generator keyed by (seed, epoch, batch number); TypeError
    then for a source without random access. `seed_globals` says whether `random`, `np.random`, torch and generators that `fn`
    holds give other numbers for each batch, by the same key, and are afterwards as they were; see `ForeignRandomness`.
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
                f"random numbers by batch or sample are not supported: this {type(source).__name__}, or a child of it, "
                "has no random access"
            )
        self.children = (source,)
        self.fn = fn
        self.rng = rng
        self.foreign = ForeignRandomness(fn, seed_globals)

    def __repr__(self) -> str:
        return source_repr(self, brief(self.fn), repr(self.children[0]))

    @property
    def source(self) -> Any:
        """The source that is mapped."""
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
        """Return what `fn` makes of `batch`; ReturnError if that is no batch."""
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
    """Gives `fn(*sample, rng=generator)` for each sample of `source` that is a tuple, and `fn(sample, rng=generator)` for others.

    Made by `source.map_samples(fn)`. The generator is keyed by (seed, epoch, sample index). `fn` returns a tuple, NamedTuple, dict
    or dataclass, nested or not, and `collate` says how each of its fields is batched: by name or number, or one way for all. With
    "stack" arrays of one shape and numbers become an array, and anything else, such as a Pillow image, a list; the others are "list",
    `rb.Pad(...)` and `rb.Ragged()`. ReturnError for anything else, for other members than another sample has, and for fields that
    cannot be batched so. `seed_globals` is as of `MapDataSource`, with the key of the sample.
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
                "the arrays of a composite with trim=False may differ in length, so its batches have no "
                "samples to map: map its children, or let it trim"
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
        # A batch has fields, so one setting is that of each.
        setting = self.collate if by_field else dict.fromkeys(members(samples[0]), self.collate)
        return collated(samples, setting, lambda row: sample_name(self, rows, row))


def unmapped(source: DataSource) -> DataSource:
    """Return the first source below `source` that is no map: the one whose children a place counts."""
    while isinstance(source, MapDataSource):
        (source,) = source.children
    return source
