"""What takes one index at a time, as an accessor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors.reading import RngOf, map_rows, sample_positions, seeded_alone
from raybatch.arrays import is_array_like, portable, sample_count, stack_samples
from raybatch.foreign_randomness import ForeignRandomness


class ItemAccessor:
    """The samples of `items`, which has a length and takes an int: a map-style PyTorch `Dataset`, a list.

    An int gives one sample, an integer array the batch: of samples that are tuples it is a tuple, arrays, tensors and
    numbers are stacked, and the rest is in lists. ValueError for arrays of unequal shapes.

    With `seed_globals` what `items` draws from `random`, `np.random`, torch and generators of its own belongs to the sample: it
    has the numbers of its seed, epoch and index, whoever makes it; see `ForeignRandomness`. Then they are read one by one, on a `ThreadPool` and with
    `threads=` of an actor too. Give False for items that draw nothing and wait for a disk or a network on several threads.
    """

    def __init__(self, items: Any, seed_globals: bool = True) -> None:
        if not is_array_like(items):
            raise TypeError(
                f"items must have a length and take an int, as a {type(items)} does not"
            )
        self.items = items
        self.foreign = ForeignRandomness(items, seed_globals)

    def __len__(self) -> int:
        return sample_count(self.items)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            one = np.array([positions])
            return self._samples(one, seeded_alone(one))[0]
        return self.read_seeded(positions, seeded_alone(positions))

    @property
    def is_random(self) -> bool:
        """Whether samples depend on random numbers, as those of all but plain lists may."""
        return self.foreign.seed_globals and type(self.items) not in (list, tuple)

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        """Return the batch of the samples at `index`; `rng_of(row)` has the numbers of each, as `SeededAccessor` says."""
        return stack_samples(self._samples(index, rng_of))

    def _samples(self, positions: npt.NDArray[np.intp], rng_of: RngOf) -> list[Any]:
        if not self.is_random:
            return map_rows(self._sample, positions.tolist())
        samples = []
        with self.foreign.seeding() as seed:
            for row, position in enumerate(positions.tolist()):
                seed(rng_of(row))
                samples.append(self._sample(position))
        return samples

    def _sample(self, position: int) -> Any:
        return _without_tensors(self.items[position])

    def __getstate__(self) -> dict[str, Any]:
        items = portable(self.items)
        foreign = ForeignRandomness(items, self.foreign.seed_globals)
        return self.__dict__ | {"items": items, "foreign": foreign}


def _without_tensors(sample: Any) -> Any:
    if isinstance(sample, tuple):
        return tuple(_without_tensors(member) for member in sample)
    return np.asarray(sample) if hasattr(sample, "__dlpack__") else sample
