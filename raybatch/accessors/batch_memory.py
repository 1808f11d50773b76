"""Memory for batches that is used again, where each batch has been handed on before the next is made."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

# Less comes from memory that the allocator keeps anyway.
_LEAST_BYTES = 2**20
# A batch has few arrays of images.
_MOST_BLOCKS = 4
# The kernel writes past the processor's caches where an array is aligned to whole vectors.
_ALIGNMENT = 64


class BatchMemory:
    """The memory of arrays that nobody refers to any more, for those of the next batch.

    The system clears memory that is new to a process, which takes as long as the tenth part of decoding what fills it.
    """

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[np.uint8]] = []

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let `empty_batch` take from here inside the block."""
        token = _memory.set(self)
        try:
            yield
        finally:
            _memory.reset(token)

    def block(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return `nbytes` bytes or more."""
        for number in range(len(self._blocks)):
            fits = nbytes <= self._blocks[number].size <= 2 * nbytes
            if fits and _references(self._blocks, number) == _UNUSED:
                return self._blocks[number]
        new = np.empty(nbytes, np.uint8)
        self._blocks = [new, *self._blocks[: _MOST_BLOCKS - 1]]
        return new


def empty_batch(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array as `np.empty` does, in memory that is used again if there is a `BatchMemory`."""
    memory, dtype = _memory.get(), np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < _LEAST_BYTES:
        return np.empty(shape, dtype)
    size = nbytes + _ALIGNMENT
    block = np.empty(size, np.uint8) if memory is None else memory.block(size)
    start = -block.ctypes.data % _ALIGNMENT
    array: npt.NDArray[Any] = block[start : start + nbytes].view(dtype).reshape(shape)
    return array


_memory: ContextVar[BatchMemory | None] = ContextVar("batch memory", default=None)


def _references(blocks: list[npt.NDArray[np.uint8]], number: int) -> int:
    """Return how many references there are to a block; each array in its memory is one more."""
    return sys.getrefcount(blocks[number])


_UNUSED = _references([np.empty(0, np.uint8)], 0)
