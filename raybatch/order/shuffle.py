"""The values of `shuffle=`, and the random generators they select."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import IndexArray
from raybatch.order.permutation import KeyedPermutation

# Spawn keys that keep the streams derived from one seed independent.
_ORDER, _UNIFORMS, _GENERATOR = 0, 1, 2

# NumPy draws 128 bits for a generator without a seed, so a small seed was almost certainly given.
_MOST_GIVEN_BITS = 96


class ShuffleRNG(Protocol):
    """The methods that every shuffle has, a subset of the methods of NumPy's generators."""

    def permutation(self, x: Any, /) -> Any:
        """Return the indices below `x`, or the elements of the array `x`, in a random order."""
        ...

    def shuffle(self, x: Any, /) -> None:
        """Put the elements of the array `x` in a random order."""
        ...


Shuffle: TypeAlias = (
    "bool | int | np.random.RandomState | np.random.Generator | ModuleType | ShuffleRNG | None"
)


class SeededShuffle:
    """The draws of one epoch as a function of an int seed, without an array in memory.

    Its permutations are keyed (`KeyedPermutation`), and `child(i)` is the independent shuffle of
    child i of a composite or choice source. Keys come from `SeedSequence` spawn keys, so different
    (seed, epoch, child, pass) have different keys.
    """

    def __init__(self, seed: int, epoch: int = 0, path: tuple[int, ...] = ()) -> None:
        self.seed, self._epoch, self._path = seed, epoch, path
        self._passes = 0

    def child(self, number: int) -> SeededShuffle:
        """Return the shuffle of child `number` of a composite or choice source."""
        return SeededShuffle(self.seed, self._epoch, (*self._path, number))

    def permutation(self, x: int | IndexArray, /) -> KeyedPermutation | _Gathered:
        """Return the indices below `x`, or the elements of the array `x`, for the next pass."""
        key = self._seed_sequence(_ORDER, self._passes)
        self._passes += 1
        if isinstance(x, np.ndarray):
            return _Gathered(x, KeyedPermutation(len(x), key))
        return KeyedPermutation(x, key)

    def shuffle(self, x: Any, /) -> None:
        """Put the elements of the array `x` in the order of the next pass."""
        x[:] = x[self.permutation(len(x))[:]]

    def generator(self) -> np.random.Generator:
        """Return a generator of this seed and epoch, for samplers that draw in sequence."""
        return np.random.Generator(np.random.Philox(self._seed_sequence(_GENERATOR, 0)))

    def skip_permutations(self, count: int) -> None:
        """Skip the next `count` permutations."""
        self._passes += count

    def uniforms(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return the random numbers in [0, 1) at places `start` to `stop` (exclusive), float64.

        Philox computes four numbers from each counter value, so every place takes the same time.
        """
        block, offset = divmod(start, 4)
        key = self._seed_sequence(_UNIFORMS, 0).generate_state(2, np.uint64)
        bits = np.random.Philox(counter=block, key=key)
        return np.random.Generator(bits).random(offset + stop - start)[offset:]

    def _seed_sequence(self, purpose: int, number: int) -> np.random.SeedSequence:
        spawn_key = (purpose, self._epoch, number, *self._path)
        return np.random.SeedSequence(self.seed, spawn_key=spawn_key)


class _Gathered:
    """The elements of `array` in a permuted order, gathered slice by slice."""

    def __init__(self, array: IndexArray, order: KeyedPermutation) -> None:
        self._array, self._order = array, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, positions: slice, /) -> IndexArray:
        return self._array[self._order[positions]]


def as_shuffle_rng(shuffle: Any) -> ShuffleRNG | None:
    """Return the generator for a `shuffle` argument; None means in order.

    None and False mean in order, True means NumPy's global generator, and an int of 0 or more is a
    seed. A RandomState, a Generator or the `np.random` module is used as it is. TypeError or
    ValueError for anything else.
    """
    if shuffle is None or shuffle is False:
        return None
    if shuffle is True:
        return cast(ShuffleRNG, np.random)
    if isinstance(shuffle, (int, np.integer)):
        if shuffle < 0:
            raise ValueError(f"a shuffle seed must be 0 or more, not {shuffle}")
        return SeededShuffle(int(shuffle))
    if callable(getattr(shuffle, "permutation", None)) and not isinstance(shuffle, type):
        return cast(ShuffleRNG, shuffle)
    raise TypeError(
        "shuffle must be None, a bool, an int seed, a RandomState, a Generator or np.random, "
        f"not {shuffle!r}"
    )


def seeded_by(rng: ShuffleRNG) -> SeededShuffle:
    """Return `rng` if it has a seed, else a shuffle with a seed drawn from `rng`."""
    if isinstance(rng, SeededShuffle):
        return rng
    # Permutations are the only draws that every shuffle has.
    return SeededShuffle(int.from_bytes(bytes(rng.permutation(256)[:16].tolist()), "little"))


def is_drawn_here(shuffle: Any) -> bool:
    """Return whether the same argument would give a different order in another process.

    This holds for True, and for NumPy generators without a seed.
    """
    if shuffle is True:
        return True
    rng = np.random.mtrand._rand if isinstance(shuffle, ModuleType) else shuffle
    if isinstance(rng, np.random.RandomState):
        rng = np.random.Generator(rng._bit_generator)
    # A generator that was seeded by hand has a seed sequence with that number, or none.
    seeds = rng.bit_generator.seed_seq if isinstance(rng, np.random.Generator) else None
    entropy = getattr(seeds, "entropy", None)
    return isinstance(entropy, int) and entropy.bit_length() > _MOST_GIVEN_BITS


def draws_in_turn(shuffle: Any) -> bool:
    """Return whether each draw depends on earlier draws: true for generators, false for seeds."""
    rng = as_shuffle_rng(shuffle)
    return rng is not None and not isinstance(rng, SeededShuffle)


def child_shuffles(shuffle: Any, count: int) -> list[Any]:
    """Return the shuffle of each of `count` children.

    Children share a generator and draw from it in turn. With a seed, each child gets its own
    shuffle; otherwise children of equal length would have equal orders.
    """
    rng = as_shuffle_rng(shuffle)
    if isinstance(rng, SeededShuffle):
        return [rng.child(number) for number in range(count)]
    return [shuffle] * count
