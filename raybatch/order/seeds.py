"""Random generators for each batch and sample; the process that makes a batch does not matter."""

from __future__ import annotations

import hashlib
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from raybatch.order.shuffle import SeededShuffle, as_shuffle_rng

# Spawn keys for values derived from a seed; keys below 16 belong to the shuffle.
_BATCHES, _SAMPLES, _REPLACEMENTS = 16, 17, 18
_STAGE = 2**32 - 1


class SampleGenerator(np.random.Generator):
    """The generator of one sample, and `users`, the transforms that have drawn from it.

    A transform that draws from it twice is an error.
    """

    def __init__(self, bit_generator: np.random.BitGenerator) -> None:
        super().__init__(bit_generator)
        self.users: list[object] = []


class RandomKeys(NamedTuple):
    """The `SeedSequence` spawn keys that a batch's random numbers are derived from.

    `path` leads from the source to a child or to a stage of it.
    """

    seed: int
    epoch: int
    batch: int
    path: tuple[int, ...] = ()

    def child(self, number: int) -> RandomKeys:
        """Return the keys of child `number` of a composite or choice source."""
        return self._replace(path=(*self.path, number))

    def under(self) -> RandomKeys:
        """Return the keys of the source under a map; they differ from those of the map itself."""
        return self._replace(path=(*self.path, _STAGE))

    def of_batch(self) -> np.random.Generator:
        """Return the generator of this batch."""
        return self._generator(_BATCHES, self.batch)

    def of_sample(self, *numbers: int) -> np.random.Generator:
        """Return the generator of the sample with these `numbers`, such as its index."""
        return SampleGenerator(self._bits(_SAMPLES, *numbers))

    def of_replacement(self, *numbers: int) -> np.random.Generator:
        """Return the generator that draws a replacement for the sample with these `numbers`."""
        return self._generator(_REPLACEMENTS, *numbers)

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(self._bits(*key))

    def _bits(self, *key: int) -> np.random.Philox:
        spawn_key = (*self.path, self.epoch, *key)
        return np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=spawn_key))


NO_KEYS = RandomKeys(seed=0, epoch=0, batch=0)


def seed_of(shuffle: Any) -> int:
    """Return the seed of an epoch's random numbers: the seed of its shuffle, 0 without a shuffle.

    For a generator it is a digest of its state; nothing is drawn from it.
    """
    rng: Any = as_shuffle_rng(shuffle)
    if isinstance(rng, SeededShuffle):
        return rng.seed
    if isinstance(rng, ModuleType):
        rng = np.random.mtrand._rand
    if isinstance(rng, np.random.RandomState):
        rng = rng._bit_generator
    elif isinstance(rng, np.random.Generator):
        rng = rng.bit_generator
    state = getattr(rng, "state", None)
    if state is None:
        return 0
    return int.from_bytes(hashlib.sha256(_canonical(state)).digest()[:16], "little")


def _canonical(state: Any) -> bytes:
    if isinstance(state, dict):
        return b"".join(name.encode() + _canonical(state[name]) for name in sorted(state))
    return state.tobytes() if isinstance(state, np.ndarray) else repr(state).encode()
