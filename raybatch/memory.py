"""Memory for one array after another, used again once nobody has the array; and whose, where batches are made."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

# Of whole vectors, and of whole lines of a processor's cache.
_ALIGNMENT = 64
# Less comes from memory that the allocator keeps.
_LEAST_BYTES = 2**20

_batches: ContextVar[ReusedMemory | None] = ContextVar("memory of batches", default=None)


@contextmanager
def batches_in(memory: ReusedMemory) -> Iterator[None]:
    """Let the batches that are made inside this block lie in `memory`.

    That pays where each batch is handed on, and not kept.
    """
    token = _batches.set(memory)
    try:
        yield
    finally:
        _batches.reset(token)


def empty_batch(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array for a batch, with any content."""
    memory = _batches.get()
    if memory is None or math.prod(shape) * np.dtype(dtype).itemsize < _LEAST_BYTES:
        return np.empty(shape, dtype)
    return memory.empty(shape, dtype)


class ReusedMemory:
    """Gives arrays; the memory of one comes back when the last reference to it is gone, and is given out again.

    Views of an array and tensors that share its memory are references too, so what a caller keeps is never overwritten. New
    memory is slow: the system clears each page when it is first written to, which takes longer than to write floats there. At most
    `most_spare` pieces wait to be used again. A pickled one begins without any.
    """

    def __init__(self, most_spare: int = 2) -> None:
        self._spare: deque[npt.NDArray[np.uint8]] = deque(maxlen=most_spare)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of `shape` and `dtype` with any content, which begins at a multiple of 64 bytes."""
        dtype = np.dtype(dtype)
        lease = _Lease(self._piece(math.prod(shape) * dtype.itemsize + _ALIGNMENT), self._spare)
        memory = np.asarray(lease)
        return np.ndarray(shape, dtype, memory, -memory.ctypes.data % _ALIGNMENT)

    def _piece(self, size: int) -> npt.NDArray[np.uint8]:
        # A last batch is smaller than those before it, and those of the next epoch need all of the memory again.
        with suppress(IndexError):  # of two threads, one takes the last piece
            while True:
                piece = self._spare.popleft()
                if piece.size >= size:
                    return piece
        return np.empty(size, np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReusedMemory, (self._spare.maxlen,)


class _Lease:
    """What every array over a piece of memory refers to: when it goes, the piece is spare."""

    def __init__(self, piece: npt.NDArray[np.uint8], spare: deque[npt.NDArray[np.uint8]]) -> None:
        self._piece = piece
        self._spare = spare
        self.__array_interface__ = piece.__array_interface__

    def __del__(self) -> None:
        self._spare.append(self._piece)
