"""A source whose batches mix the samples of several others, by weight."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from raybatch.checks import positive_int
from raybatch.order import (
    Cursor,
    MemberShares,
    MixtureCursor,
    PassesCursor,
    RandomKeys,
    Rows,
    SeededShuffle,
    Shuffle,
    as_shuffle_rng,
    one_seed,
)
from raybatch.sources.batch import Batch, extended
from raybatch.sources.several import ChoiceDataSource, OneOfSeveralDataSource
from raybatch.sources.source import DataSource, has_equal_lengths, nodes

# The weight of each member: by its name, or in the order of the members; None for the same weight each.
Weights: TypeAlias = "Mapping[str, float] | Sequence[float] | None"
# Weights, or pairs of a place in the order and the weights from there on.
Stages: TypeAlias = "Weights | Sequence[tuple[int, Weights]]"

STOPS = ("first", "all", "never")


class MixDataSource(OneOfSeveralDataSource):
    """Mixes the samples of several sources in each batch, by weight.

        source = rb.MixDataSource({"photos": photos, "scans": scans}, weights={"photos": 0.8, "scans": 0.2})

    `datasets` are sources by name, or a list of them, whose names are "0", "1", ... `weights` are numbers under the same names or in
    the same order, of any sum; None for the same weight each. At every place of the order the number of samples that a
    member has given is its weight times the place, rounded (for more than three members, less than 1.7 samples from it): chance has no
    part in it, and a batch of 10 of the above has 8 photos and 2 scans. Weights that change on the way are pairs of a place, in
    samples of the pass, and the weights from there on: `[(0, {...}), (10_000, {...})]`.

    Each member has its samples in an order of its own, shuffled as the loader says, and begins its next pass, shuffled anew, where
    it has given all. `stop` says when the mixture ends: at the "first" member that has no sample left, when "all" members
    have given each sample at least once, or "never". With `num_samples` it ends after so many samples, whatever `stop` says.
    Each epoch begins all members anew. So that large members go on where they were, let it stop "never", and
    give the loader `batches_per_epoch`. A member that is a choice is mixed by samples too, and not by batches.

    Members must have the same fields, of the same dtypes and shapes; ReturnError at the first batch that mixes others. With
    `include_member` a batch begins with the numbers of the members that its samples are of, int64 `(n,)`; in a dict they are
    under the key "member", and `names` has their names.

    A saved state has the position of each member under its name. So it may be loaded where weights are others, or members were
    added or are gone: those that are left go on where they were, and new ones begin.

    ValueError for weights that are negative, or not those of the members, for members that have no samples, and for a `stop` that is
    never reached; TypeError for members without random access.
    """

    def __init__(
        self,
        datasets: Sequence[DataSource] | Mapping[str, DataSource],
        weights: Stages = None,
        stop: str = "first",
        num_samples: int | None = None,
        include_member: bool = False,
    ) -> None:
        is_named = isinstance(datasets, Mapping)
        self.names = list(map(str, datasets if is_named else range(len(datasets))))
        super().__init__(list(datasets.values()) if isinstance(datasets, Mapping) else datasets)
        if stop not in STOPS:
            raise ValueError(f"stop must be one of {STOPS}, not {stop!r}")
        self.shares = MemberShares(_stages(weights, self.names))
        self.stop = stop
        self.length = None if num_samples is None else positive_int("num_samples", num_samples)
        self.include_member = bool(include_member)
        for name, child in zip(self.names, self.children, strict=True):
            _check_member(name, child)
        if stop == "all" and num_samples is None:
            self._check_that_all_end()

    def num_samples(self, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration: an int, `np.inf`, or None if a member does not say how many it has."""
        end = self._end([0] * len(self.children))
        is_known = self.length is not None or self.stop == "never" or None not in self._lengths()
        return end if is_known else None

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        return self.cursor_ahead(shuffle, {})

    def cursor_ahead(self, shuffle: Shuffle, ahead: Mapping[str, int]) -> MixtureCursor:
        """Return the start of an order in which members, by name, are ahead by a number of samples, or behind."""
        rng = as_shuffle_rng(shuffle)
        if rng is not None and not isinstance(rng, SeededShuffle):
            rng = SeededShuffle(one_seed(rng))
        by = [ahead.get(name, 0) for name in self.names]
        is_one_pass = self.stop == "first" and self.length is None
        members = [
            PassesCursor(self._pass_of(number, rng), length, 1 if is_one_pass else math.inf)
            for number, length in enumerate(self._lengths())
        ]
        return MixtureCursor(members, self.shares, self._end(by), by)

    def positions(self, samples: int, ahead: Mapping[str, int]) -> dict[str, int]:
        """Return how many samples of each member, by name, are among the first `samples` of an order."""
        end = self._end([ahead.get(name, 0) for name in self.names])
        counts = self.shares.counts(int(min(samples, end)))
        return {
            name: own + ahead.get(name, 0) for name, own in zip(self.names, counts, strict=True)
        }

    def can_go_to(self, name: str) -> bool:
        """Return whether a member can go on at any sample: not so one whose batches follow from the sizes of those before."""
        return self.cursor_ahead(0, {}).members[self.names.index(name)].is_even

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        batch = super().read(rows, keys)
        if not self.include_member:
            return batch
        numbers = np.empty(len(rows), np.int64)
        for number, own in rows.by_child().items():
            numbers[own] = number
        return extended(batch, "member", numbers, first=True)

    def key_of(self, number: int) -> int:
        # By its name, so that a member keeps its order and its random numbers when others come and go.
        return int.from_bytes(hashlib.sha256(self.names[number].encode()).digest()[:4], "little")

    def name_of(self, number: int) -> str:
        return f"member {self.names[number]!r}"

    def _pass_of(self, number: int, rng: SeededShuffle | None) -> Any:
        own = None if rng is None else rng.child(self.key_of(number))
        child = self.children[number]
        return lambda count: child.order(None if own is None else own.child(count))

    def _lengths(self) -> list[int | float | None]:
        """Return how many samples each member has in a pass; None if that is not known."""
        # A choice says how many its members have, and may end before.
        return [
            None
            if any(isinstance(node, ChoiceDataSource) for node in nodes(child))
            else child.num_samples()
            for child in self.children
        ]

    def _end(self, ahead: list[int]) -> int | float:
        """Return the place where the order ends, `np.inf` if that is never, or at a member that does not say when."""
        if self.length is not None:
            return self.length
        known = [
            (number, int(length) - ahead[number])
            for number, length in enumerate(self._lengths())
            if length is not None and length != math.inf
        ]
        if self.stop == "first":
            return min((self.shares.place_of(*left) for left in known), default=math.inf)
        if self.stop == "never" or len(known) < len(self.children):
            return math.inf
        return max(self.shares.place_of(number, left - 1) + 1 for number, left in known)

    def _check_that_all_end(self) -> None:
        for number, length in enumerate(self._lengths()):
            name = self.names[number]
            if length is None:
                raise ValueError(
                    f'stop="all" must know how many samples each member has, and {name!r} does not say: give num_samples='
                )
            if length != math.inf and self.shares.place_of(number, int(length) - 1) == math.inf:
                raise ValueError(
                    f'stop="all" is never reached: member {name!r} has weight 0 in the end, before it has given all of its '
                    f"{length} samples"
                )


def _check_member(name: str, source: DataSource) -> None:
    if not source.is_random_access:
        raise TypeError(
            f"member {name!r} must have random access, and this {type(source).__name__} has not: batches of callables and "
            "iterators cannot be made by index"
        )
    if not has_equal_lengths(source):
        raise ValueError(
            f"member {name!r} is a composite with trim=False, whose arrays may differ in length: let it trim"
        )
    if source.num_samples() == 0:
        raise ValueError(f"member {name!r} has no samples: leave it out")


def _stages(weights: Any, names: list[str]) -> list[tuple[int, list[float]]]:
    """Return the stages in `weights`, with the weights in the order of `names`; ValueError for what are none."""
    is_staged = isinstance(weights, Sequence) and len(weights) and isinstance(weights[0], Sequence)
    stages = [(int(place), own) for place, own in weights] if is_staged else [(0, weights)]
    places = [place for place, _ in stages]
    if places[0] != 0 or any(b <= a for a, b in pairwise(places)):
        raise ValueError(f"stages must begin at 0, and go on at increasing places, not {places}")
    return [(place, _weights(own, names)) for place, own in stages]


def _weights(weights: Any, names: list[str]) -> list[float]:
    if weights is None:
        return [1.0] * len(names)
    if isinstance(weights, Mapping):
        given = {str(name): weight for name, weight in weights.items()}
        if given.keys() != set(names):
            raise ValueError(f"weights are of {sorted(given)}, and the members are {sorted(names)}")
        numbers = [float(given[name]) for name in names]
    else:
        numbers = [float(weight) for weight in weights]
        if len(numbers) != len(names):
            raise ValueError(f"there are {len(numbers)} weights for {len(names)} members")
    for name, number in zip(names, numbers, strict=True):
        if not 0 <= number < math.inf:
            raise ValueError(f"the weight of {name!r} must be 0 or more, not {number}")
    if not any(numbers):
        raise ValueError("one weight at least must be above 0")
    return numbers
