"""A digest of a whole stream of batches, to check that two streams are equal bit for bit."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from raybatch.arrays import as_numpy
from raybatch.ragged import RaggedArray
from raybatch.structure import is_container, members


class StreamDigest:
    """The digest of the batches seen so far, for a stream that is also used for something else."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, batch: Any) -> None:
        """Add one batch: its structure, and the shape, dtype and bytes of each array or PIL image.

        The order of keys does not matter.
        """
        if isinstance(batch, (tuple, list)):
            self._hash.update(f"{type(batch).__name__}[{len(batch)}]".encode())
            for member in batch:
                self.update(member)
            return
        if is_container(batch):
            fields = members(batch)
            self._hash.update(f"{type(batch).__name__}{sorted(fields, key=str)}".encode())
            for name in sorted(fields, key=str):
                self.update(fields[name])
            return
        if isinstance(batch, RaggedArray):
            self._hash.update(b"ragged")
            self.update((batch.values, batch.offsets))
            return
        if batch is None:
            self._hash.update(b"None")
            return
        if isinstance(batch, Image.Image):
            self._hash.update(f"image {batch.mode}{batch.getpalette() or ''}".encode())
        array = as_numpy(batch)
        if hasattr(array, "detach"):  # a tensor with a dtype that NumPy lacks
            self._hash.update(str(array.dtype).encode())
            array = array.contiguous().view(sys.modules["torch"].uint8).numpy()
        array = np.asarray(array)
        if array.dtype.hasobject:
            raise TypeError(f"cannot digest an array of Python objects ({type(batch).__name__})")
        dtype = np.lib.format.dtype_to_descr(array.dtype)
        self._hash.update(f"array {dtype}{array.shape}".encode())
        self._hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def hexdigest(self) -> str:
        """Return the digest as 64 hexadecimal digits."""
        return self._hash.hexdigest()


def stream_digest(batches: Iterable[Any]) -> str:
    """Return one SHA-256 hex digest over the shapes, dtypes and bytes of all arrays, in order."""
    digest = StreamDigest()
    for batch in batches:
        digest.update(batch)
    return digest.hexdigest()
