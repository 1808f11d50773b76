"""The rows of a batch: which samples they are, whatever the structure of their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from raybatch.order.indices import IndexArray

# A sample of a tree of sources: the path to its leaf, and its absolute index there.
Place: TypeAlias = tuple[tuple[int, ...], int]


class Part(NamedTuple):
    """The rows of one leaf of a tree of sources.

    `path` has the number of the child to take at each source with several children; () is a source by itself.
    `indices` are absolute, int `(n,)`; a source of the user's own may have others. `position` is the place of the
    first row in the order of the leaf, or an array of the places of all rows.
    """

    path: tuple[int, ...]
    indices: Any
    position: int | IndexArray


class Rows:
    """The samples of a batch, as a flat tuple of parts: one for each leaf that the batch reads.

    A composite source reads several leaves, and a row is one sample of each; a choice source reads one of its children.
    All parts have one length, except those of an untrimmed composite.
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
        """Return the rows of a source that reads these of its children, each given with its number."""
        return cls(
            tuple(
                Part((number, *path), indices, position)
                for number, rows in children
                for path, indices, position in rows.parts
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.parts,)

    def __len__(self) -> int:
        indices = self.parts[0].indices
        while isinstance(indices, tuple):  # of a source of the user's own
            indices = indices[0]
        return len(indices)

    def __repr__(self) -> str:
        return f"Rows({self.parts})"

    @property
    def indices(self) -> Any:
        """The indices, where the source has no children."""
        ((_, indices, _),) = self.parts
        return indices

    @property
    def chosen(self) -> int:
        """The number of the child that a choice source reads."""
        return self.parts[0].path[0]

    def child(self, number: int) -> Rows:
        """Return the rows of child `number`."""
        return Rows(
            tuple(
                Part(path[1:], indices, position)
                for path, indices, position in self.parts
                if path[0] == number
            )
        )

    def take(self, rows: Any) -> Rows:
        """Return the rows `rows`, integers `(n,)`, in that order."""
        rows = np.asarray(rows)
        return Rows(
            tuple(
                Part(
                    path,
                    np.asarray(indices)[rows],
                    position[rows] if isinstance(position, np.ndarray) else position + rows,
                )
                for path, indices, position in self.parts
            )
        )

    def put(self, row: int, one: Rows) -> Rows:
        """Return the rows with the only row of `one` in the place of row `row`, whose position stays."""
        changed = []
        for (path, indices, position), (_, other, _) in zip(self.parts, one.parts, strict=True):
            indices = np.array(indices)
            indices[row] = other[0]
            changed.append(Part(path, indices, position))
        return Rows(tuple(changed))

    def cut(self, start: int, stop: int) -> Rows:
        """Return the rows from `start` up to `stop`; indices that are no array stay as they are."""
        return Rows(
            tuple(
                Part(
                    path,
                    indices[start:stop] if isinstance(indices, np.ndarray) else indices,
                    position[start:stop] if isinstance(position, np.ndarray) else position + start,
                )
                for path, indices, position in self.parts
            )
        )

    def pad(self, length: int) -> Rows:
        """Return the rows with the last one repeated up to `length`."""
        return Rows(
            tuple(
                Part(
                    path,
                    np.concatenate([indices, np.repeat(indices[-1:], length - len(indices))]),
                    position,
                )
                for path, indices, position in self.parts
            )
        )

    def places(self) -> Iterator[tuple[int, Place]]:
        """Iterate over all samples, each with its row."""
        for path, indices, _ in self.parts:
            yield from ((row, (path, int(index))) for row, index in enumerate(indices))
