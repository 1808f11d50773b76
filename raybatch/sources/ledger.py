"""Records of bad samples, and a list of them to save and to exclude the next time."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from raybatch.order.rows import Place
from raybatch.stores.absent import check_exists
from raybatch.stores.aside import written_aside
from raybatch.stores.local_path import local_path
from raybatch.stores.paths import as_path_array, path_array, path_names

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("index", pa.int64()),
    ("error", pa.string()),
    ("message", pa.string()),
    ("path", pa.string()),
    ("member", pa.list_(pa.int64())),
    ("epoch", pa.int64()),
    ("batch", pa.int64()),
]


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that could not be read, in batch `batch` of epoch `epoch`, both from 0.

    `index` is its absolute index in its source. `member` locates that source in composite and
    choice sources: `(1, 0)` is child 0 of child 1, `()` the source itself. `path` is the path of
    its file, "" if unknown. `error` and `message` are the exception's type and text.
    """

    index: int
    error: str
    message: str
    path: str = ""
    member: tuple[int, ...] = ()
    epoch: int = 0
    batch: int = 0

    def under(self, member: int) -> BadSample:
        """Return this sample of child `member` as a sample of the parent source."""
        return replace(self, member=(member, *self.member))

    def at(self, epoch: int, batch: int) -> BadSample:
        """Return this sample with the numbers of the epoch and batch in which it was found."""
        return replace(self, epoch=epoch, batch=batch)

    def __str__(self) -> str:
        member = f" of member {self.member}" if self.member else ""
        path = f", {self.path!r}" if self.path else ""
        return f"sample {self.index}{member}{path}"

    def is_named_in(self, text: str) -> bool:
        """Return whether `text` names this sample."""
        # A path by itself tells the members of a source apart.
        name = str(replace(self, member=()) if self.path else self)
        return re.search(rf"{re.escape(name)}(?!\d)", text) is not None

    @property
    def description(self) -> str:
        """Which sample it is, and why it cannot be read."""
        if self.is_named_in(self.message):
            return self.message
        return f"{self}: {self.error}: {self.message}"

    @property
    def place(self) -> Place:
        """The identity of the sample: its source and its index."""
        return self.member, self.index


class BadSampleLedger:
    """The bad samples, as `BadSample`, in the order in which they were found; each only once."""

    def __init__(self, samples: Iterable[BadSample] = ()) -> None:
        self._samples: dict[Place, BadSample] = {}
        for sample in samples:
            self.add(sample)

    def add(self, sample: BadSample) -> bool:
        """Add `sample` unless it is in the list, and return whether it was added."""
        return self._samples.setdefault(sample.place, sample) is sample

    def __len__(self) -> int:
        return len(self._samples)

    def __contains__(self, sample: BadSample) -> bool:
        """Return whether this sample is in the list, whatever its batch."""
        return sample.place in self._samples

    def __iter__(self) -> Iterator[BadSample]:
        return iter(list(self._samples.values()))

    def __getitem__(self, number: int) -> BadSample:
        return list(self._samples.values())[number]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file (`.parquet`), or a file with one JSON object per line (`.jsonl`).

        Each row is a sample. In Parquet, a text column with a value that is not valid UTF-8, such
        as a path, is stored as bytes. ValueError for other suffixes, and for a URL.
        """
        target = local_path(path)
        is_parquet = _is_parquet(target)
        rows = [dataclasses.asdict(sample) for sample in self]
        with written_aside(target) as aside:
            if is_parquet:
                columns = [_column([row[name] for row in rows], kind) for name, kind in _COLUMNS]
                pa.parquet.write_table(pa.table(columns, [name for name, _ in _COLUMNS]), aside)
            else:
                aside.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BadSampleLedger:
        """Return the ledger that `save` wrote."""
        target = local_path(path)
        is_parquet = _is_parquet(target)
        check_exists(target)
        if is_parquet:
            table = pa.parquet.read_table(target)
            columns = [_values(table[name], kind) for name, kind in _COLUMNS]
            names = [name for name, _ in _COLUMNS]
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        else:
            rows = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
        return cls(BadSample(**{**row, "member": tuple(row["member"])}) for row in rows)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    return path_array(values) if pa.types.is_string(kind) else pa.array(values, kind)


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    """Return the values of a column of type `kind`; ValueError if its type differs."""
    if pa.types.is_string(kind):
        return path_names(as_path_array(column))
    values: list[Any] = column.cast(kind).to_pylist()
    return values


def _is_parquet(path: Path) -> bool:
    if path.suffix not in (".parquet", ".jsonl"):
        raise ValueError(f"the name of a ledger must end in .parquet or .jsonl, not {str(path)!r}")
    return path.suffix == ".parquet"


def excluded(exclude: Any) -> list[BadSample]:
    """Return the samples in `exclude`: a ledger, the path of a saved one, or an index array."""
    if isinstance(exclude, (str, os.PathLike)):
        exclude = BadSampleLedger.load(exclude)
    if isinstance(exclude, BadSampleLedger):
        return list(exclude)
    indices = np.asarray(exclude)
    if indices.ndim != 1 or (len(indices) and not np.issubdtype(indices.dtype, np.integer)):
        raise TypeError(
            "exclude must be a ledger of bad samples, the path of a saved one, or a 1-D integer"
            f" array, not {exclude!r}"
        )
    if (indices < 0).any():
        raise ValueError(f"exclude must hold indices of 0 or more, not {indices.min()}")
    return [BadSample(int(index), "", "") for index in indices]
