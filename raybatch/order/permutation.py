"""A shuffled order as a function from position to index, for any length, without an array.

It is a generalised Feistel network, `FE1` of Black and Rogaway, "Ciphers with Arbitrary Finite
Domains" (CT-RSA 2002). A position is split into digits (left, right) of a mixed base `a × b ≥ n`.
Each round adds to one digit a keyed hash of the other, modulo its base. Positions of n or more go
through the network again ("cycle walking"). With a and b close to √n, that is one position in √n.

A network of small digits mixes badly. So for up to `TABLE_LENGTH` indices the order is a table
instead: the positions sorted by their keyed hashes.
"""

from __future__ import annotations

import math
import operator
from typing import overload

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import IndexArray

MAX_LENGTH = 2**62
TABLE_LENGTH = 4096
ROUNDS = 6

Words = npt.NDArray[np.uint64]


def _constant(value: int) -> Words:
    """Return `value` as a 0-d array; batch arithmetic takes half as long as with a NumPy scalar."""
    return np.array(value, dtype=np.uint64)


_ONE, _HALF = _constant(1), _constant(32)
# The multipliers of the splitmix64 finaliser (Steele, Lea and Flood, OOPSLA 2014).
_MULTIPLY_1, _MULTIPLY_2 = _constant(0xBF58476D1CE4E5B9), _constant(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = _constant(30), _constant(27), _constant(31)


def permutation(n: int, key: int | np.random.SeedSequence) -> KeyedPermutation:
    """Return the permutation of `range(n)` for `key`, for 0 ≤ n ≤ 2**62, in constant memory."""
    return KeyedPermutation(n, key)


class KeyedPermutation:
    """A permutation of `range(n)`: `order[positions]` gives the indices at those positions.

    `positions` is an int, a slice or an integer array with values in [0, n). The result is an int
    or an int64 array of the same shape. It depends only on n, the key and the positions.
    """

    def __init__(self, n: int, key: int | np.random.SeedSequence) -> None:
        self._length = operator.index(n)
        if not 0 <= self._length <= MAX_LENGTH:
            raise ValueError(f"n must be from 0 to 2**62, not {n}")
        seed = key if isinstance(key, np.random.SeedSequence) else np.random.SeedSequence(key)
        keys = seed.generate_state(ROUNDS, np.uint64).astype(np.uint64)
        self._keys = tuple(map(_constant, keys.tolist()))
        self._table = _sorted_by_hash(self._length, keys) if n <= TABLE_LENGTH else None
        base = max(math.isqrt(self._length), 1)
        self._left_base = _constant(-(-self._length // base))
        self._right_base = _constant(base)
        self._end = _constant(self._length)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, positions: int, /) -> int: ...
    @overload
    def __getitem__(self, positions: slice | IndexArray, /) -> npt.NDArray[np.int64]: ...
    def __getitem__(self, positions: int | slice | IndexArray, /) -> int | npt.NDArray[np.int64]:
        if isinstance(positions, slice):
            return self._indices(np.arange(*positions.indices(self._length)).astype(np.uint64))
        if isinstance(positions, np.ndarray):
            if positions.dtype.kind not in "iu":
                raise TypeError(f"positions must be integers, not {positions.dtype}")
            # A negative position is now above the end.
            words = positions.astype(np.uint64).reshape(-1)
            if np.count_nonzero(words >= self._end):
                raise IndexError(f"positions must be in [0, {self._length})")
            return self._indices(words).reshape(positions.shape)
        position = operator.index(positions)
        if not 0 <= position < self._length:
            raise IndexError(f"position {position} is not in [0, {self._length})")
        return int(self._indices(np.array([position], dtype=np.uint64))[0])

    def _indices(self, positions: Words) -> npt.NDArray[np.int64]:
        if self._table is not None:
            return self._table[positions]
        values = self._encipher(positions)
        walking = (values >= self._end).nonzero()[0]
        while walking.size:
            values[walking] = self._encipher(values[walking])
            walking = walking[values[walking] >= self._end]
        return values.view(np.int64)

    def _encipher(self, values: Words) -> Words:
        """Permute values in [0, left_base × right_base).

        A cheap hash is enough, as there are many rounds.
        """
        left = values // self._right_base
        right = values - left * self._right_base
        for number, key in enumerate(self._keys):
            hashed = right + key
            hashed *= _MULTIPLY_1
            hashed ^= hashed >> _HALF
            hashed *= _MULTIPLY_2
            hashed >>= _ONE  # leaves room for the digit in 64 bits
            hashed += left
            hashed %= self._right_base if number % 2 else self._left_base
            left, right = right, hashed
        # ROUNDS is even, so each digit is back on its own side.
        left *= self._right_base
        left += right
        return left


def _sorted_by_hash(n: int, keys: Words) -> npt.NDArray[np.int64]:
    hashed = np.arange(n, dtype=np.uint64) * keys[0] + keys[1]
    for key in keys[2:4]:
        hashed ^= hashed >> _SHIFT_1
        hashed *= _MULTIPLY_1
        hashed ^= hashed >> _SHIFT_2
        hashed *= _MULTIPLY_2
        hashed ^= hashed >> _SHIFT_3
        hashed += key
    return np.argsort(hashed, kind="stable").astype(np.int64)
