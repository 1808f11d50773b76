"""The rows of a batch: the samples in it, for any structure of sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from raybatch.order.indices import IndexArray

# A sample in a tree of sources: the path to its leaf, and its absolute index there.
Place: TypeAlias = tuple[tuple[int, ...], int]


class Part(NamedTuple):
    """The rows of a batch that come from one leaf of a tree of sources.

    `path` has the number of the child at each source with several children; () for a single source.
    `indices` are absolute, int `(n,)`; a user's own source can have other objects. `position` is
    the place of the first row in the order of the leaf, or an array of the places of all rows.
    `rows` are the rows of the batch that the part fills, int `(n,)`, increasing; None for all.
    """

    path: tuple[int, ...]
    indices: Any
    position: int | IndexArray
    rows: IndexArray | None = None

    def cut(self, start: int, stop: int) -> Part:
        """Return rows `start` to `stop` of a part that fills all rows.

        Indices that are not an array stay as they are.
        """
        indices, position = self.indices, self.position
        return self._replace(
            indices=indices[start:stop] if isinstance(indices, np.ndarray) else indices,
            position=position[start:stop] if isinstance(position, np.ndarray) else position + start,
        )

    def padded(self, length: int) -> Part:
        """Return the part with its last row repeated up to `length`."""
        last = np.repeat(self.indices[-1:], length - len(self.indices))
        return self._replace(indices=np.concatenate([self.indices, last]))

    def taken(self, numbers: IndexArray) -> Part | None:
        """Return the rows `numbers` of the batch that are in this part, in that order.

        None if there are none.
        """
        rows, of = None, numbers
        if self.rows is not None:
            found = np.isin(numbers, self.rows)
            rows, of = np.flatnonzero(found), np.searchsorted(self.rows, numbers[found])
            if not len(rows):
                return None
        return Part(self.path, np.asarray(self.indices)[of], self.places_at(of), rows)

    def later(self, by: int) -> Part:
        """Return the part with `by` added to its places in the order of the leaf."""
        return self._replace(position=self.position + by)

    def counted_in(self, filled: IndexArray) -> Part:
        """Return the part with its rows renumbered for a batch of only the rows `filled`."""
        if self.rows is None or len(self.rows) == len(filled):
            return self._replace(rows=None)
        return self._replace(rows=np.searchsorted(filled, self.rows))

    def places_at(self, of: IndexArray) -> IndexArray:
        """Return the places of rows `of` of this part, in the order of the leaf."""
        position = self.position
        return position[of] if isinstance(position, np.ndarray) else position + of

    def number_of(self, row: int) -> int | None:
        """Return the position in this part of row `row` of the batch.

        None if the row is in a different part.
        """
        if self.rows is None:
            return row
        number = int(np.searchsorted(self.rows, row))
        return number if number < len(self.rows) and self.rows[number] == row else None


class Rows:
    """The samples of a batch: a flat tuple of parts, one for each leaf that the batch reads.

    A row of a composite is one sample of each child; a row of a choice or a mixture is a sample of
    one child. All parts that fill all rows have one length, except those of a composite with
    `trim=False`.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, indices: Any, position: int | IndexArray = 0) -> Rows:
        """Return the rows of a source without children."""
        return cls((Part((), indices, position),))

    @classmethod
    def joined(cls, children: Iterable[tuple[int, Rows]]) -> Rows:
        """Return the rows of a composite from pairs (number, rows) of its children."""
        return cls(tuple(part for number, rows in children for part in rows.under(number).parts))

    @classmethod
    def placed(cls, pieces: Sequence[tuple[IndexArray, Rows]]) -> Rows:
        """Return rows made of `pieces`: pairs of increasing row numbers and the rows for them."""
        filled = np.arange(sum(len(where) for where, _ in pieces))
        by_path: dict[tuple[int, ...], list[Part]] = {}
        for where, rows in pieces:
            for part in rows.parts:
                own = where if part.rows is None else where[part.rows]
                by_path.setdefault(part.path, []).append(part._replace(rows=own))
        return cls(tuple(_merged(parts).counted_in(filled) for parts in by_path.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.parts,)

    def __len__(self) -> int:
        for part in self.parts:
            if part.rows is None:
                indices = part.indices
                while isinstance(indices, tuple):  # a user's own source can have nested tuples
                    indices = indices[0]
                return len(indices)
        return 1 + max(int(part.rows[-1]) for part in self.parts if part.rows is not None)

    def __repr__(self) -> str:
        return f"Rows({self.parts})"

    @property
    def indices(self) -> Any:
        """The indices, if the source has no children."""
        (part,) = self.parts
        return part.indices

    def under(self, number: int) -> Rows:
        """Return these rows of child `number` as rows of its parent."""
        return Rows(tuple(part._replace(path=(number, *part.path)) for part in self.parts))

    def child(self, number: int) -> Rows:
        """Return the rows of child `number`, numbered from 0."""
        own = [part._replace(path=part.path[1:]) for part in self.parts if part.path[0] == number]
        if all(part.rows is None for part in own):
            return Rows(tuple(own))
        filled = self.by_child()[number]
        return Rows(tuple(part.counted_in(filled) for part in own))

    def by_child(self) -> dict[int, IndexArray]:
        """Return the numbers of the rows that each child fills, by the number of the child.

        Children without rows are left out.
        """
        filled: dict[int, list[IndexArray]] = {}
        for part in self.parts:
            rows = np.arange(len(self)) if part.rows is None else part.rows
            filled.setdefault(part.path[0], []).append(rows)
        return {number: np.unique(np.concatenate(filled[number])) for number in sorted(filled)}

    def take(self, rows: Any) -> Rows:
        """Return the rows `rows`, integers `(n,)`, in that order."""
        numbers = np.asarray(rows)
        taken = (part.taken(numbers) for part in self.parts)
        return Rows(tuple(part for part in taken if part is not None))

    def put(self, row: int, one: Rows) -> Rows:
        """Return the rows with row `row` replaced by the only row of `one`; its place is kept."""
        others = {part.path: part.indices[0] for part in one.parts}
        changed = []
        for part in self.parts:
            number = part.number_of(row)
            if number is not None:
                indices = np.array(part.indices)
                indices[number] = others[part.path]
                part = part._replace(indices=indices)
            changed.append(part)
        return Rows(tuple(changed))

    def cut(self, start: int, stop: int) -> Rows:
        """Return rows `start` to `stop`; indices that are not an array stay as they are."""
        if any(part.rows is not None for part in self.parts):
            return self.take(np.arange(start, min(stop, len(self))))
        return Rows(tuple(part.cut(start, stop) for part in self.parts))

    def pad(self, length: int) -> Rows:
        """Return the rows with the last one repeated up to `length`."""
        if any(part.rows is not None for part in self.parts):
            return self.take(np.minimum(np.arange(length), len(self) - 1))
        return Rows(tuple(part.padded(length) for part in self.parts))

    def places(self) -> Iterator[tuple[int, Place]]:
        """Iterate over all samples, each with its row."""
        for path, indices, _, rows in self.parts:
            numbers = range(len(indices)) if rows is None else rows.tolist()
            yield from (
                (row, (path, int(index))) for row, index in zip(numbers, indices, strict=True)
            )


def _merged(parts: list[Part]) -> Part:
    """Return one part that replaces several parts of one leaf, which fill different rows."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([part.rows for part in parts if part.rows is not None])
    order = np.argsort(rows)
    indices = np.concatenate([part.indices for part in parts])
    places = np.concatenate([part.places_at(np.arange(len(part.indices))) for part in parts])
    return Part(parts[0].path, indices[order], places[order], rows[order])
