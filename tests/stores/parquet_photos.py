"""The test photographs as columns of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SIZE = (12, 16)
ROWS = 7  # in a row group; the 40 photos make 5 full groups and one of 5
LABELS = np.arange(40) % 2


def contents(paths: list[str]) -> list[bytes]:
    return [Path(path).read_bytes() for path in paths]


def as_binary(images: Sequence[bytes | None]) -> pa.Array:
    return pa.array(images, pa.binary())


def as_large_binary(images: Sequence[bytes | None]) -> pa.Array:
    return pa.array(images, pa.large_binary())


def as_struct(images: Sequence[bytes | None]) -> pa.Array:
    rows = [{"bytes": image, "path": f"{row}.jpg"} for row, image in enumerate(images)]
    return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def as_bare_struct(images: Sequence[bytes | None]) -> pa.Array:
    rows = [{"size": 1, "bytes": image} for image in images]
    return pa.array(rows, pa.struct([("size", pa.int8()), ("bytes", pa.large_binary())]))


def as_view(images: Sequence[bytes | None]) -> pa.Array:
    return pa.array(images, pa.binary_view())


def as_view_struct(images: Sequence[bytes | None]) -> pa.Array:
    rows = [{"path": f"{row}.jpg", "bytes": image} for row, image in enumerate(images)]
    return pa.array(rows, pa.struct([("path", pa.string_view()), ("bytes", pa.binary_view())]))


KINDS = [as_binary, as_large_binary, as_struct, as_bare_struct, as_view, as_view_struct]


def write(path: Path, column: Any, rows: int = ROWS, **others: Any) -> str:
    try:
        return _written(path, column, rows, **others)
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"this Arrow cannot write it: {error}")


def _written(path: Path, column: Any, rows: int, **others: Any) -> str:
    table = pa.table({"before": [0] * len(column), "image": column, **others})
    if column.type != as_view_struct([]).type:
        pq.write_table(table, path, rows)
        return str(path)
    # Arrow's writer cannot split structs of views into row groups.
    with pq.ParquetWriter(path, table.schema) as writer:
        for start in range(0, len(table), rows):
            group = table.slice(start, rows).to_pylist()
            writer.write_table(pa.Table.from_pylist(group, table.schema))
    return str(path)
