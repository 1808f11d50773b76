"""What takes one index at a time, as an accessor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors.reading import RngOf, map_rows, sample_positions, seeded_alone
from raybatch.arrays import portable, sample_count
from raybatch.collation import Setting, checked_setting, collated, in_numpy
from raybatch.errors import ReturnError
from raybatch.foreign_randomness import ForeignRandomness


class ItemAccessor:
    """The samples of `items`, which has a length and takes an int: a map-style PyTorch `Dataset`, a list.

    An int gives one sample, with NumPy arrays in place of tensors; an integer array gives the batch of the samples. It has the
    structure of one sample: tuples, NamedTuples, dicts, dataclasses, nested to any depth, and a tuple for a list. Arrays, tensors and
    numbers are stacked, and texts and other objects are in lists, as PyTorch's `default_collate` has it. Tensors of a dtype that
    NumPy lacks, such as bfloat16, become a tensor. `collate` says otherwise, for all fields or by name or number: {"boxes": "list"},
    and "stack", `rb.Pad(...)` or `rb.Ragged()` in its place. ReturnError for samples that cannot be collated so, such as arrays of
    unequal shapes that are to be stacked.

    Where `items` has a `__getitems__`, that gives all samples of a batch.

    With `seed_globals` what `items` draws from `random`, `np.random`, torch and generators of its own belongs to the sample: it has
    the numbers of the sample's seed, epoch and index, whoever makes it; see `ForeignRandomness`. Then the samples are read one
    after the other, on a `ThreadPool` and in an actor of several `threads` too, and without `__getitems__` where that draws. Give
    False for items that draw nothing and wait for a disk or a network.
    """

    def __init__(self, items: Any, collate: Setting = "stack", seed_globals: bool = True) -> None:
        if not hasattr(items, "__getitem__") or not hasattr(items, "__len__"):
            raise TypeError(
                f"items must have a length and take an int, as a {type(items)} does not"
            )
        self.items = items
        self.collate = checked_setting(collate)
        self.foreign = ForeignRandomness(items, seed_globals)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} items of {type(self.items).__name__})"

    def __len__(self) -> int:
        return sample_count(self.items)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            one = np.array([positions])
            return in_numpy(self._one_by_one(one, seeded_alone(one))[0])
        return self.read_seeded(positions, seeded_alone(positions))

    @property
    def is_random(self) -> bool:
        """Whether samples may depend on random numbers, as those of all but plain lists may."""
        return self.foreign.seed_globals and type(self.items) not in (list, tuple)

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        """Return the batch of the samples at `index`; `rng_of(row)` has the numbers of each, as `SeededAccessor` says."""
        samples = self._samples(index, rng_of)
        return collated(samples, self.collate, lambda row: f"sample {index[row]}")

    def _samples(self, positions: npt.NDArray[np.intp], rng_of: RngOf) -> list[Any]:
        if hasattr(self.items, "__getitems__") and len(positions):
            samples = self.foreign.made_without(rng_of(0), lambda: self._all_at_once(positions))
            if samples is not None:
                return list(samples)
        return self._one_by_one(positions, rng_of)

    def _all_at_once(self, positions: npt.NDArray[np.intp]) -> Any:
        samples = self.items.__getitems__(positions.tolist())
        if len(samples) != len(positions):
            raise ReturnError(
                f"__getitems__ of {type(self.items)} returned {len(samples)} samples for {len(positions)} indices"
            )
        return samples

    def _one_by_one(self, positions: npt.NDArray[np.intp], rng_of: RngOf) -> list[Any]:
        if not self.is_random:
            return map_rows(lambda position: self.items[position], positions.tolist())
        samples = []
        with self.foreign.seeding() as seed:
            for row, position in enumerate(positions.tolist()):
                seed(rng_of(row))
                samples.append(self.items[position])
        return samples

    def __getstate__(self) -> dict[str, Any]:
        items = portable(self.items)
        foreign = ForeignRandomness(items, self.foreign.seed_globals)
        return self.__dict__ | {"items": items, "foreign": foreign}
