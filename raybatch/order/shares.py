"""Which member of a mixture each place belongs to, as a function of the place and the weights."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from raybatch.order.indices import IndexArray

# Twice the product of two numbers below this fits into an int64.
_MOST_DENOMINATOR = 2**30


class _Fork(NamedTuple):
    """A group of members in two halves. The first half gets `share` of the places, rounded."""

    first: Any
    second: Any
    share: Fraction

    def of_first(self, places: Any) -> Any:
        """Return how many of the first `places` places belong to the first half.

        That is `round(share * places)`. `places` is an int or an int64 array; the result is exact
        for both.
        """
        top, bottom = self.share.numerator, self.share.denominator
        whole, rest = places // bottom, places % bottom
        return top * whole + (2 * top * rest + bottom) // (2 * bottom)


_Tree: TypeAlias = "_Fork | int"


class _Shares:
    """Places divided among members by fixed weights.

    The members are the leaves of a tree. At each fork, the first half gets its share of the places,
    rounded, and the second half gets the rest. So the member of a place can be computed without the
    places before it. The tree is a Huffman tree, which joins the two lightest groups first. In it,
    the rounding error of a fork is divided among ever lighter groups: their weights fall at least
    as fast as Fibonacci numbers grow. So the count of a member is off by less than 1.7, half the
    sum of the reciprocals of the Fibonacci numbers, and by less than 1 with up to three members.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        heap: list[tuple[Fraction, int, _Tree]] = [
            (Fraction(weight), number, number)
            for number, weight in enumerate(weights)
            if weight > 0
        ]
        heapq.heapify(heap)
        for number in range(len(weights), len(weights) + len(heap) - 1):
            light, heavy = heapq.heappop(heap), heapq.heappop(heap)
            both = light[0] + heavy[0]
            share = (heavy[0] / both).limit_denominator(_MOST_DENOMINATOR)
            if share == 1:
                raise ValueError(
                    f"a weight of {float(light[0]):g} beside {float(heavy[0]):g} is too small: it"
                    f" must be above 1/{_MOST_DENOMINATOR} of it, or 0"
                )
            heapq.heappush(heap, (both, number, _Fork(heavy[2], light[2], share)))
        self._tree = heap[0][2]
        self._ways = dict(_ways(self._tree))

    def count(self, member: int, places: int) -> int:
        """Return how many of the first `places` places belong to `member`."""
        if member not in self._ways:
            return 0
        for fork, is_first in self._ways[member]:
            first = fork.of_first(places)
            places = first if is_first else places - first
        return places

    def members(self, start: int, stop: int) -> IndexArray:
        """Return the members at places `start` to `stop` (exclusive), int64."""
        found = np.empty(stop - start, np.int64)
        self._find(self._tree, np.arange(start, stop), np.arange(stop - start), found)
        return found

    def _find(self, tree: _Tree, places: IndexArray, rows: IndexArray, found: IndexArray) -> None:
        if isinstance(tree, int):
            found[rows] = tree
            return
        first = tree.of_first(places)
        is_first = tree.of_first(places + 1) > first
        self._find(tree.first, first[is_first], rows[is_first], found)
        is_second = ~is_first
        self._find(tree.second, (places - first)[is_second], rows[is_second], found)


def _ways(tree: _Tree, way: tuple[tuple[_Fork, bool], ...] = ()) -> Iterator[tuple[int, Any]]:
    """Iterate over the members in `tree`, each with the forks that lead to it."""
    if isinstance(tree, int):
        yield tree, way
        return
    yield from _ways(tree.first, (*way, (tree, True)))
    yield from _ways(tree.second, (*way, (tree, False)))


class MemberShares:
    """The member that each place of a mixture belongs to.

    `stages` are pairs of a place and the weights from there on, in increasing order from place 0.
    Within a stage, the count of each member is close to its weight times the number of places. So
    any run of samples, such as a batch or a rank's part of it, has almost the requested shares. If
    the members were drawn at random instead, the counts after n samples would be off by about the
    square root of n.
    """

    def __init__(self, stages: Sequence[tuple[int, Sequence[float]]]) -> None:
        self.stages = [(place, tuple(map(float, weights))) for place, weights in stages]
        self._starts = [place for place, _ in self.stages]
        self._shares = [_Shares(weights) for _, weights in self.stages]
        self._before = [[0] * len(self.stages[0][1])]
        for number in range(1, len(self.stages)):
            self._before.append(self.counts(self._starts[number], number - 1))

    def counts(self, places: int, stage: int | None = None) -> list[int]:
        """Return how many of the first `places` places each member has."""
        return [self.count(member, places, stage) for member in range(len(self._before[0]))]

    def count(self, member: int, places: int, stage: int | None = None) -> int:
        """Return how many of the first `places` places belong to `member`."""
        number = bisect_right(self._starts, places) - 1 if stage is None else stage
        within = self._shares[number].count(member, places - self._starts[number])
        return self._before[number][member] + within

    def members(self, start: int, stop: int) -> IndexArray:
        """Return the members at places `start` to `stop` (exclusive), int64 `(n,)`."""
        parts: list[npt.NDArray[Any]] = [np.arange(0)]
        for number, shares in enumerate(self._shares):
            begin = self._starts[number]
            end = self._starts[number + 1] if number + 1 < len(self._starts) else stop
            first, last = max(start, begin), min(stop, end)
            if first < last:
                parts.append(shares.members(first - begin, last - begin))
        return np.concatenate(parts)

    def place_of(self, member: int, number: int) -> int | float:
        """Return the place of sample `number` of `member`, from 0; `np.inf` if it has no place."""
        if self.stages[-1][1][member] == 0 and self._before[-1][member] <= number:
            return math.inf
        most = 1
        while self.count(member, most) <= number:
            most *= 2
        return bisect_right(range(most), number, key=lambda place: self.count(member, place)) - 1
