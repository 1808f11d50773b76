"""What takes one index at a time, as an accessor."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.accessors.reading import map_rows, sample_positions
from raybatch.arrays import portable, sample_count
from raybatch.collation import Setting, checked_setting, collated, in_numpy
from raybatch.errors import ReturnError


class ItemAccessor:
    """The samples of `items`, which has a length and takes an int: a map-style PyTorch `Dataset`, a list.

    An int gives one sample, with NumPy arrays in place of tensors; an integer array gives the batch of the samples. It has the structure of one sample:
    tuples, NamedTuples, dicts, dataclasses, nested to any depth, and a tuple for a list. Arrays, tensors and numbers are stacked, and
    texts and other objects are in lists, as PyTorch's `default_collate` has it. `collate` says otherwise, for all
    fields or by name or number: {"boxes": "list"}, and "stack", `rb.Pad(...)` or `rb.Ragged()` in its place. ReturnError for samples
    that cannot be collated so, such as arrays of unequal shapes that are to be stacked.

    Where `items` has a `__getitems__`, that gives all samples of a batch.
    """

    def __init__(self, items: Any, collate: Setting = "stack") -> None:
        if not hasattr(items, "__getitem__") or not hasattr(items, "__len__"):
            raise TypeError(
                f"items must have a length and take an int, as a {type(items)} does not"
            )
        self.items = items
        self.collate = checked_setting(collate)

    def __len__(self) -> int:
        return sample_count(self.items)

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return in_numpy(self.items[positions])
        return collated(
            self._samples(positions), self.collate, lambda row: f"sample {positions[row]}"
        )

    def _samples(self, positions: npt.NDArray[np.intp]) -> list[Any]:
        read_all = getattr(self.items, "__getitems__", None)
        if not read_all:
            return map_rows(lambda position: self.items[position], positions.tolist())
        samples = read_all(positions.tolist())
        if len(samples) != len(positions):
            raise ReturnError(
                f"__getitems__ of {type(self.items)} returned {len(samples)} samples for {len(positions)} indices"
            )
        return list(samples)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"items": portable(self.items)}
