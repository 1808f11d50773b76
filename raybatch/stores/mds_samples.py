"""The fields of the samples in an MDS shard (MosaicML's Streaming), from the table at its start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

import numpy as np

from raybatch.errors import StorageError
from raybatch.stores.tar_headers import Member, refuse_compressed

_NUMBER = np.dtype("<u4")
# The index keeps the data of fields up to this size, so that a column of numbers is read once.
_SMALL = 512


def mds_members(file: IO[bytes]) -> Iterator[Member | str]:
    """Iterate over the fields of all samples in an open shard; names are `NUMBER.COLUMN:ENCODING`.

    StorageError if the shard is compressed, cut off or not an MDS shard.
    """
    size = file.seek(0, 2)
    file.seek(0)
    refuse_compressed(file.read(_SMALL))
    file.seek(0)
    try:
        (count,) = _numbers(file, 1)
        offsets = _numbers(file, count + 1)
        config = json.loads(file.read(offsets[0] - file.tell()))
        columns = [
            (f"{name}:{encoding}", length)
            for name, encoding, length in zip(
                config["column_names"],
                config["column_encodings"],
                config["column_sizes"],
                strict=True,
            )
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"it is not an MDS shard: {error}") from error
    if offsets[-1] != size:
        raise StorageError(f"the MDS shard has {size} bytes, but its table says {offsets[-1]}")
    unknown = sum(length is None for _, length in columns)
    for number in range(count):
        file.seek(offsets[number])
        # The lengths of fields without a fixed length come before the sample.
        lengths = iter(_numbers(file, unknown))
        offset = offsets[number] + unknown * _NUMBER.itemsize
        for name, fixed in columns:
            length = next(lengths) if fixed is None else fixed
            file.seek(offset)
            data = file.read(length) if length <= _SMALL else None
            yield Member(f"{number:08}.{name}", offset, length, data=data)
            offset += length
        if offset != offsets[number + 1]:
            raise StorageError(
                f"sample {number} of the MDS shard is damaged: its lengths are wrong"
            )


def _numbers(file: IO[bytes], count: int) -> list[int]:
    data = file.read(count * _NUMBER.itemsize)
    if len(data) < count * _NUMBER.itemsize:
        raise ValueError("it is cut off")
    numbers: list[int] = np.frombuffer(data, _NUMBER).tolist()
    return numbers
