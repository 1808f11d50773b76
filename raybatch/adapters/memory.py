"""Memory for one array after another, used again once nobody has the array."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt


class ReusedMemory:
    """Gives arrays; the memory of one comes back when the last reference to it is gone, and is given out again.

    Views of an array and tensors that share its memory are references too, so what a caller keeps is never overwritten. New
    memory is slow: the system clears each page when it is first written to, which takes longer than to write floats there. At most
    `most_spare` pieces wait to be used again. A pickled one begins without any.
    """

    def __init__(self, most_spare: int = 2) -> None:
        self._spare: deque[npt.NDArray[np.uint8]] = deque(maxlen=most_spare)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of `shape` and `dtype` with any content."""
        dtype = np.dtype(dtype)
        lease = _Lease(self._piece(math.prod(shape) * dtype.itemsize), self._spare)
        memory = np.asarray(lease)
        return np.ndarray(shape, dtype, memory)

    def _piece(self, size: int) -> npt.NDArray[np.uint8]:
        # A last batch is smaller than those before it, and those of the next epoch need all of the memory again.
        while self._spare:
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
