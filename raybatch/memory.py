"""Memory for batches that is reused once nothing refers to the batch any more."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

# The bytes of a cache line, and of the widest vector register.
_ALIGNMENT = 64
# Below this size the allocator keeps freed memory by itself.
_LEAST_BYTES = 2**20

_batches: ContextVar[ReusedMemory | None] = ContextVar("memory of batches", default=None)


@contextmanager
def batches_in(memory: ReusedMemory) -> Iterator[None]:
    """Take the memory of the batches that are made in this block from `memory`.

    This pays off if each batch is passed on and not kept.
    """
    token = _batches.set(memory)
    try:
        yield
    finally:
        _batches.reset(token)


def empty_batch(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an uninitialised array for a batch, in the memory of `batches_in` if it is large."""
    memory = _batches.get()
    if memory is None or math.prod(shape) * np.dtype(dtype).itemsize < _LEAST_BYTES:
        return np.empty(shape, dtype)
    return memory.empty(shape, dtype)


class ReusedMemory:
    """Gives arrays, and reuses the memory of an array once nothing refers to it any more.

    Views of an array, and tensors that share its memory, count as references, so nothing that a
    caller keeps is overwritten. New memory is slow: the system clears each page at its first use,
    which takes longer than writing floats into it. At most `most_spare` pieces are kept for reuse.
    A pickled instance starts without any.
    """

    def __init__(self, most_spare: int = 2) -> None:
        self._spare: deque[npt.NDArray[np.uint8]] = deque(maxlen=most_spare)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an uninitialised array of `shape` and `dtype`, aligned to 64 bytes."""
        dtype = np.dtype(dtype)
        lease = _Lease(self._piece(math.prod(shape) * dtype.itemsize + _ALIGNMENT), self._spare)
        memory = np.asarray(lease)
        return np.ndarray(shape, dtype, memory, -memory.ctypes.data % _ALIGNMENT)

    def _piece(self, size: int) -> npt.NDArray[np.uint8]:
        # Larger pieces are fine: the last batch of an epoch is small, and the next one is large
        # again.
        with suppress(IndexError):  # no piece is left, perhaps because another thread took it
            while True:
                piece = self._spare.popleft()
                if piece.size >= size:
                    return piece
        return np.empty(size, np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReusedMemory, (self._spare.maxlen,)


class _Lease:
    """Owns a piece of memory for all arrays over it, and adds it to `spare` when they are gone."""

    def __init__(self, piece: npt.NDArray[np.uint8], spare: deque[npt.NDArray[np.uint8]]) -> None:
        self._piece = piece
        self._spare = spare
        self.__array_interface__ = piece.__array_interface__

    def __del__(self) -> None:
        self._spare.append(self._piece)
