"""Texts as a column of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from raybatch.accessors.reading import sample_positions


class Texts:
    """Texts: an int gives a str, an index array a list of them.

    One Arrow array holds all texts. So a text takes only the memory for its own length, and the
    actors of a host share them.
    """

    def __init__(self, texts: list[str] | pa.Array) -> None:
        self.array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[str]:
        return iter(self.array.to_pylist())

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self.array[positions].as_py()
        return self.array.take(pa.array(positions)).to_pylist()
