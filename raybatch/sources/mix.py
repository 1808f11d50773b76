"""A source whose batches mix the samples of several others, by weight."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from raybatch.checks import positive_int
from raybatch.order.cursor import Cursor
from raybatch.order.mixture import MemberCursor, MixtureCursor
from raybatch.order.rows import Rows
from raybatch.order.seeds import RandomKeys
from raybatch.order.shares import MemberShares
from raybatch.order.shuffle import SeededShuffle, Shuffle, as_shuffle_rng, seeded_by
from raybatch.sources.batch import Batch, extended
from raybatch.sources.several import OneOfSeveralDataSource
from raybatch.sources.source import DataSource, has_equal_lengths
from raybatch.sources.weights import Weights, checked_weights

# Weights, or pairs of a place in the order and the weights from there on.
Stages: TypeAlias = "Weights | Sequence[tuple[int, Weights]]"

STOPS = ("first", "all", "never")


class MixDataSource(OneOfSeveralDataSource):
    """Mixes the samples of several sources in every batch, by weight.

        source = rb.MixDataSource(
            {"photos": photos, "scans": scans}, weights={"photos": 0.8, "scans": 0.2}
        )

    At place p of the order, a member with a share w of the weights has given about w × p samples.
    The number is off by less than 1 for up to three members, and by less than 1.7 for more. Nothing
    is drawn at random for this: a batch of 10 from the example has 8 photos and 2 scans.

    Each member gives its samples in its own order, shuffled by the loader's `shuffle`. A member
    that has given all its samples begins again in a new order. Each pass of the mixture begins all
    members again. To see all samples of large members, use `stop="never"` and `Loader(...,
    batches_per_epoch=n)`: the members then continue from epoch to epoch. If a member is a choice,
    its own members take turns sample by sample.

    The members must have the same fields, with the same dtypes and shapes. Otherwise the first
    batch that mixes them raises a ReturnError.

    A saved state has the position of each member under its name. It can be loaded into a mixture
    with other weights or other members; the members that are in both continue where they were.

    Args:
        datasets: Sources by name, or a list of sources, whose names are then "0", "1" and so on.
            The property `names` lists the names.
        weights: Numbers by name or in the order of `datasets`, with any sum; None for equal
            weights. To change the weights along the way, give pairs of a place, in samples of the
            pass, and the weights from there on: `[(0, {...}), (10_000, {...})]`.
        stop: When the mixture ends: "first", as soon as any member has no sample left; "all", when
            every member has given each of its samples; or "never".
        num_samples: The number of samples after which the mixture ends, whatever `stop` says.
        include_member: Whether to add the number of each sample's member, int64 `(n,)`, as the
            first field of a batch, or under the key "member" of a dict.

    Raises:
        ValueError: If weights are negative or do not fit the members, a member has no samples, or
            `stop` is never reached.
        TypeError: If a member has no random access.
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
        self._end(self._lengths(None))  # raises ValueError if `stop` is never reached

    def moved(self, ahead: Mapping[str, int]) -> MixDataSource:
        """Return this source with members that are ahead of their weights.

        `ahead` maps names to numbers of samples, which are negative for members that are behind.
        """
        # Not `copy.copy`, which imports a module: an iterator can be closed while Python ends.
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__)
        changed.ahead = dict(ahead)
        return changed

    def num_samples(self, shuffle: Shuffle = None, **kwargs: Any) -> int | float | None:
        """Return the number of samples in a pass: an int, `np.inf`, or None if it is unknown."""
        lengths = self._lengths(shuffle)
        is_known = self.length is not None or self.stop == "never" or None not in lengths
        return self._end(lengths) if is_known else None

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        """Return the start of an order.

        ValueError if `stop="all"` and the number of samples of a member is unknown.
        """
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
        """Return how many of the first `samples` samples each member has given, by name."""
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
        # Keyed by name: a member keeps its order and random numbers when others are added or
        # removed.
        return int.from_bytes(hashlib.sha256(self.names[number].encode()).digest()[:4], "little")

    def name_of(self, number: int) -> str:
        return f"member {self.names[number]!r}"

    def _pass_of(self, number: int, rng: SeededShuffle | None) -> Any:
        own = None if rng is None else rng.child(self.key_of(number))
        child = self.children[number]
        return lambda count: child.order(None if own is None else own.child(count))

    def _lengths(self, shuffle: Shuffle) -> list[int | float | None]:
        """Return the number of samples of each member in a pass; None if unknown."""
        # A choice can end before its `num_samples`, so count its batches of one sample instead.
        return [child.num_batches(1, shuffle=shuffle) for child in self.children]

    def _end(self, lengths: Sequence[float | None]) -> int | float:
        """Return the place where the order ends; `np.inf` if there is no end or it is unknown."""
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
        """Return the place where member `number` has given its last `left` samples.

        ValueError if there is no such place.
        """
        name = self.names[number]
        if left is None:
            raise ValueError(
                'stop="all" needs the number of samples of each member, but it is unknown for '
                f"{name!r}: set num_samples="
            )
        last = left - 1 if left == math.inf else self.shares.place_of(number, int(left) - 1)
        if last == math.inf > left:
            raise ValueError(
                f'stop="all" is never reached: the weight of member {name!r} becomes 0 while it'
                " still has samples"
            )
        return last + 1


def _check_member(name: str, source: DataSource) -> None:
    if not source.is_random_access:
        raise TypeError(
            f"member {name!r} must have random access, but a {type(source).__name__} does not have"
            " it: batches of callables and iterators cannot be made by index"
        )
    if not has_equal_lengths(source):
        raise ValueError(
            f"member {name!r} is a composite with trim=False, whose arrays can differ in length: "
            "use trim=True"
        )
    if source.num_samples() == 0:
        raise ValueError(f"member {name!r} has no samples: leave it out")


def _stages(weights: Any, names: list[str]) -> list[tuple[int, list[float]]]:
    """Return the stages in `weights`, in the order of `names`; ValueError if they are not valid."""
    first = weights[0] if isinstance(weights, Sequence) and len(weights) else None
    is_staged = isinstance(first, Sequence) and not isinstance(first, str)
    stages = [(int(place), own) for place, own in weights] if is_staged else [(0, weights)]
    places = [place for place, _ in stages]
    if places[0] != 0 or any(b <= a for a, b in pairwise(places)):
        raise ValueError(f"the places of the weights must start at 0 and increase, not {places}")
    return [(place, checked_weights(own, names)) for place, own in stages]
