"""An accessor for objects that take one index at a time."""

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
    """The samples of `items`, which has a length and an int index: a list, a PyTorch `Dataset`.

    An int gives one sample, with its tensors as NumPy arrays. An integer array gives a batch with
    the structure of one sample: tuples, NamedTuples, dicts and dataclasses, nested to any depth; a
    list becomes a tuple. As in PyTorch's `default_collate`, arrays, tensors and numbers are
    stacked; texts and other objects stay in lists. Tensors of a dtype that NumPy lacks, such as
    bfloat16, are stacked into a tensor. If `items` has a method `__getitems__`, it is called once
    for all samples of a batch.

    `collate` chooses "stack", "list", `rb.Pad(...)` or `rb.Ragged()` for all fields, or for each
    field by its name or number: {"boxes": "list"}. ReturnError for samples that cannot be collated
    in this way, such as arrays of unequal shapes under "stack".

    With `seed_globals`, the random numbers that `items` draws from `random`, `np.random`, torch and
    its own generators depend only on the seed, the epoch and the sample's index, in any worker; see
    `ForeignRandomness`. The samples are then read one after the other, even on a `ThreadPool` or in
    an actor with several `threads`. `__getitems__` is not used if it draws random numbers. Pass
    False for items that draw none, so that several threads can wait for a disk or a network.
    """

    def __init__(self, items: Any, collate: Setting = "stack", seed_globals: bool = True) -> None:
        if not hasattr(items, "__getitem__") or not hasattr(items, "__len__"):
            raise TypeError(
                f"items must have a length and take an int, but a {type(items)} does not"
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
        """Whether samples can depend on random numbers: False for lists and tuples."""
        return self.foreign.seed_globals and type(self.items) not in (list, tuple)

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        """Return the batch of the samples at `index`.

        `rng_of(row)` returns the generator of a row, as `SeededAccessor` says.
        """
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
                f"__getitems__ of {type(self.items)} returned {len(samples)} samples for"
                f" {len(positions)} indices"
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
