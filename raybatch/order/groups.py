"""The samples of each group, for samplers that make batches of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import counted
from raybatch.order.indices import IndexArray, as_index_array, check_covers, check_index_range
from raybatch.order.sampler import AbstractSampler


class GroupsSampler(AbstractSampler):
    """The base of samplers in which sample i belongs to group `groups[i]`, a number below `count`.

    `indices` are the absolute indices of the samples to draw from, or None for all.
    """

    def __init__(self, groups: IndexArray, count: int, indices: npt.ArrayLike | None) -> None:
        self.groups = groups
        self.indices: IndexArray | None = None
        own: IndexArray = np.arange(len(groups))
        if indices is not None:
            given = as_index_array(indices)
            check_index_range(given, len(groups))
            own = self.indices = own[np.unique(np.where(given < 0, given + len(own), given))]
        in_groups = groups[own]
        # Group g has the samples `_members[_starts[g] : _starts[g + 1]]`.
        self._members = own[np.argsort(in_groups, kind="stable")]
        lengths = np.bincount(in_groups, minlength=count)
        self._starts = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])

    def map_indices(self, indices: Any) -> Any:
        return indices if self.indices is None else self.indices[indices]

    def check_length(self, length: int) -> None:
        count = len(self.groups)
        check_covers(f"groups has {counted(count, 'number')}, one for each sample", count, length)

    def draw(self, rng: np.random.Generator) -> int:
        return int(rng.choice(self._members))

    def draw_instead(self, index: int, rng: np.random.Generator) -> int:
        group = int(self.groups[index])
        return int(self._members[rng.integers(self._starts[group], self._starts[group + 1])])

    def _members_without(self, indices: IndexArray) -> IndexArray:
        check_index_range(indices, len(self.groups))
        return self._members[~np.isin(self._members, indices)]
