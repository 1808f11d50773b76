"""What composite and choice sources share: a list of member sources."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from raybatch.order import Cursor, as_shuffle_rng, member_shuffles
from raybatch.sources.bad_samples import BadSample
from raybatch.sources.source import AbstractDataSource, check_inner, cursor_of


class MemberDataSource(AbstractDataSource):
    """The base of sources that draw from `datasets`, one or more member sources."""

    def __init__(self, datasets: list[AbstractDataSource]) -> None:
        if not datasets:
            raise ValueError(f"a {type(self).__name__} needs at least one member data source")
        for position, member in enumerate(datasets):
            check_inner(f"datasets[{position}]", member)
        self.datasets = datasets

    @property
    def is_random_access(self) -> bool:
        return all(member.is_random_access for member in self.datasets)

    @property
    def has_equal_lengths(self) -> bool:
        return all(member.has_equal_lengths for member in self.datasets)

    @property
    def uses_rng(self) -> bool:
        return any(member.uses_rng for member in self.datasets)

    def without(self, samples: Collection[BadSample]) -> AbstractDataSource:
        changed = copy.copy(self)
        below: list[list[BadSample]] = [[] for _ in self.datasets]
        for sample in samples:
            if not sample.member or sample.member[0] >= len(self.datasets):
                raise ValueError(
                    f"sample {sample.index} of member {sample.member} is to be left out, and a "
                    f"{type(self).__name__} of {len(self.datasets)} sources has no such member: is the ledger "
                    "that of another source?"
                )
            below[sample.member[0]].append(replace(sample, member=sample.member[1:]))
        changed.datasets = [
            ds.without(own) if own else ds for ds, own in zip(self.datasets, below, strict=True)
        ]
        return changed

    def _member_cursors(self, kwargs: dict[str, Any]) -> list[Cursor]:
        self._require_random_access("cursor")
        arguments = self._member_arguments(kwargs)
        return [cursor_of(ds, **own) for ds, own in zip(self.datasets, arguments, strict=True)]

    def _require_random_access(self, method: str) -> None:
        if not self.is_random_access:
            raise self._no_random_access(method)

    def _member_arguments(self, kwargs: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the keyword arguments for the iterator of each member, its own shuffle among them."""
        if "shuffle" not in kwargs:
            return [kwargs] * len(self.datasets)
        as_shuffle_rng(kwargs["shuffle"])
        shuffles = member_shuffles(kwargs["shuffle"], len(self.datasets))
        return [{**kwargs, "shuffle": shuffle} for shuffle in shuffles]
