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
    MemberCursor,
    MemberShares,
    MixtureCursor,
    RandomKeys,
    Rows,
    SeededShuffle,
    Shuffle,
    as_shuffle_rng,
    seeded_by,
)
from raybatch.sources.batch import Batch, extended
from raybatch.sources.several import OneOfSeveralDataSource
from raybatch.sources.source import DataSource, has_equal_lengths

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
        self._end(self._lengths(None), {})  # which may be never, and then is refused

    def num_samples(self, shuffle: Shuffle = None, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration: an int, `np.inf`, or None if a member does not say how many it has."""
        lengths = self._lengths(shuffle)
        is_known = self.length is not None or self.stop == "never" or None not in lengths
        return self._end(lengths, {}) if is_known else None

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        return self.cursor_ahead(shuffle, {})

    def cursor_ahead(self, shuffle: Shuffle, ahead: Mapping[str, int]) -> MixtureCursor:
        """Return the start of an order in which members, by name, are ahead by a number of samples, or behind.

        ValueError if it is to stop when all members have ended, and it is not known when one does.
        """
        rng = as_shuffle_rng(shuffle)
        lengths = self._lengths(shuffle)
        end = self._end(lengths, ahead)
        own = None if rng is None else seeded_by(rng)
        most = 1 if self.stop == "first" and self.length is None else math.inf
        members = [
            MemberCursor(self._pass_of(number, own), length, most)
            for number, length in enumerate(lengths)
        ]
        return MixtureCursor(members, self.shares, end, [ahead.get(name, 0) for name in self.names])

    def positions(self, samples: int, ahead: Mapping[str, int]) -> dict[str, int]:
        """Return how many samples of each member, by name, are among the first `samples` of an order."""
        counts = self.shares.counts(samples)
        return {
            name: own + ahead.get(name, 0) for name, own in zip(self.names, counts, strict=True)
        }

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

    def _lengths(self, shuffle: Shuffle) -> list[int | float | None]:
        """Return how many samples each member gives in a pass; None if that is not known."""
        return [child.num_batches(1, shuffle=shuffle) for child in self.children]

    def _end(self, lengths: Sequence[float | None], ahead: Mapping[str, int]) -> int | float:
        """Return the place where the order ends, `np.inf` if that is never, or at a member that does not say when."""
        if self.length is not None:
            return self.length
        if self.stop == "never":
            return math.inf
        left = [
            None if length is None else length - ahead.get(name, 0)
            for name, length in zip(self.names, lengths, strict=True)
        ]
        if self.stop == "all":
            return max(self._end_of(number, own) for number, own in enumerate(left))
        known = [
            (number, int(own)) for number, own in enumerate(left) if own not in (None, math.inf)
        ]
        return min((self.shares.place_of(*one) for one in known), default=math.inf)

    def _end_of(self, number: int, left: int | float | None) -> int | float:
        """Return the place by which a member has given what is `left` of its pass; ValueError if there is none."""
        name = self.names[number]
        if left is None:
            raise ValueError(
                f'stop="all" must know how many samples each member gives, and {name!r} does not say: give num_samples='
            )
        last = left - 1 if left == math.inf else self.shares.place_of(number, int(left) - 1)
        if last == math.inf > left:
            raise ValueError(
                f'stop="all" is never reached: member {name!r} has weight 0 in the end, and samples left'
            )
        return last + 1


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
