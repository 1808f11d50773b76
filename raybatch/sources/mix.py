"""A source whose batches mix the samples of several others, by weight."""

from __future__ import annotations

import copy
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
    """Mixes the samples of several sources in every batch, by weight.

        source = rb.MixDataSource({"photos": photos, "scans": scans}, weights={"photos": 0.8, "scans": 0.2})

    `datasets` are sources by name, or a list of sources, whose names are "0", "1" and so on. `weights` are numbers, under the same
    names or in the same order, whatever their sum; None for equal weights. At place p of the order a member of weight w has
    given w × p samples, rounded. With up to three members the number is less than 1 off, with more members less than 1.7. Chance has no part
    in it: a batch of 10 of the above has 8 photos and 2 scans.

    Weights can change on the way. Then `weights` is a list of places, in samples of the pass, and the weights from there on:
    `[(0, {...}), (10_000, {...})]`.

    Each member gives its samples in an order of its own, shuffled as the loader says. A member that has given all of them begins again,
    shuffled anew. `stop` says when the mixture ends: when the "first" member has no sample left, when "all" members have
    given each of their samples, or "never". With `num_samples` it ends after that number of samples, whatever `stop` says. Each pass
    begins all members anew. To see all samples of large members, use `stop="never"` and `Loader(..., batches_per_epoch=n)`:
    then the members go on from epoch to epoch.

    Members must have the same fields, of the same dtypes and shapes; otherwise the first batch that mixes them raises a ReturnError.
    `include_member` adds the number of the member of each sample, int64 `(n,)`, as the first field of a batch, or under the key
    "member" of a dict; `names` has the names of the members. In a member that is a choice, the members of the choice take turns sample by sample.

    A saved state has the position of each member under its name. Another loader can load it whose mixture has other weights or other
    members: those that are in both go on where they were.

    ValueError for weights that are negative or do not fit the members, for a member without samples, and for a `stop` that never
    comes; TypeError for a member without random access.
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
        self.ahead: dict[str, int] = {}
        for name, child in zip(self.names, self.children, strict=True):
            _check_member(name, child)
        self._end(self._lengths(None))  # which may be never, and then is refused

    def moved(self, ahead: Mapping[str, int]) -> MixDataSource:
        """Return this source with members, by name, ahead by a number of samples of where their weights have them, or behind."""
        changed = copy.copy(self)
        changed.ahead = dict(ahead)
        return changed

    def num_samples(self, shuffle: Shuffle = None, **kwargs: Any) -> int | float | None:
        """Return the number of samples in one iteration: an int, `np.inf`, or None if a member does not say how many it has."""
        lengths = self._lengths(shuffle)
        is_known = self.length is not None or self.stop == "never" or None not in lengths
        return self._end(lengths) if is_known else None

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        """Return the start of an order; ValueError if it is to stop when all have ended, and a member does not say when it does."""
        lengths, rng = self._lengths(shuffle), as_shuffle_rng(shuffle)
        end, ahead = self._end(lengths), [self.ahead.get(name, 0) for name in self.names]
        own = None if rng is None else seeded_by(rng)
        most = 1 if self.stop == "first" and self.length is None else math.inf
        members = [
            MemberCursor(self._pass_of(number, own), length, most)
            for number, length in enumerate(lengths)
        ]
        return MixtureCursor(members, self.shares, end, ahead)

    def positions(self, samples: int) -> dict[str, int]:
        """Return how many samples of each member, by name, are among the first `samples` of an order."""
        counts = zip(self.names, self.shares.counts(samples), strict=True)
        return {name: count + self.ahead.get(name, 0) for name, count in counts}

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

    def _end(self, lengths: Sequence[float | None]) -> int | float:
        """Return the place where the order ends, `np.inf` if that is never, or at a member that does not say when."""
        if self.length is not None:
            return self.length
        if self.stop == "never":
            return math.inf
        left = [
            None if length is None else length - self.ahead.get(name, 0)
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
