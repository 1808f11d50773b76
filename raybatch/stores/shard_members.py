"""The bytes of members of archives, by position."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raybatch.errors import StorageError
from raybatch.stores.local_files import FileVersion
from raybatch.stores.location import Locations
from raybatch.stores.zip_directory import zip_bytes


class Members:
    """One member of each sample in `shards`: a byte store.

    Shard i has version `versions[i]` and the samples from `starts[i]` up to `starts[i + 1]`.
    `place` holds the offsets, lengths and methods, each `(n,)`, as in `Member`; method -1 means
    None. `keys` are the names of the samples. `extension` is that of the member, or an array with
    that of each sample's member.

    The values of all samples are in arrays, which the processes of a host share.
    """

    def __init__(
        self,
        shards: Locations,
        versions: Sequence[FileVersion],
        starts: npt.NDArray[np.int64],
        place: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int8]],
        keys: pa.Array,
        extension: str | pa.ChunkedArray,
    ) -> None:
        self._shards = shards
        self._versions = list(versions)
        self._starts = starts
        self._offsets, self._lengths, self._methods = place
        self._keys = keys
        self._extension = extension

    def __len__(self) -> int:
        return len(self._offsets)

    def open(self, position: int) -> IO[bytes]:
        """Return the member at `position` in memory.

        OSError if it is damaged, StorageError if its shard has changed.
        """
        return io.BytesIO(self.read(position))

    def read(self, position: int) -> bytes:
        """Return the bytes at `position`, as `open` does."""
        shard = self._shard_of(position)
        read = partial(self._shards.read_range, shard, self._versions[shard])
        offset, length = int(self._offsets[position]), int(self._lengths[position])
        method = int(self._methods[position])
        try:
            return read(offset, length) if method < 0 else zip_bytes(read, offset, length, method)
        except (FileNotFoundError, PermissionError) as error:
            # The error concerns the many samples of a shard, not this one alone.
            raise StorageError(f"{type(error).__name__}: {error}") from error

    def name_of(self, position: int) -> str:
        """Return the place of the member, `shard.tar[key.jpg]`, without credentials."""
        extension = self._extension
        if not isinstance(extension, str):
            extension = extension[position].as_py()
        shard = self._shards.name_of(self._shard_of(position))
        return f"{shard}[{self._keys[position]}.{extension}]"

    def signature(self, position: int) -> tuple[int, ...]:
        """Return (): the fingerprint covers the versions of the shards, and only these are read."""
        return ()

    def fingerprint(self) -> dict[str, Any]:
        """Return the shards, their versions, and the places of the members in them."""
        digest = hashlib.sha256(repr(self._versions).encode())
        for column in (self._starts, self._offsets):
            digest.update(np.ascontiguousarray(column).data)
        return {**self._shards.fingerprint(), "members": digest.hexdigest()[:32]}

    def _shard_of(self, position: int) -> int:
        return int(np.searchsorted(self._starts, position, side="right")) - 1
