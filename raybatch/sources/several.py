"""Sources over several others: a batch of each, side by side, or each batch from one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from raybatch.checks import in_order
from raybatch.order.cursor import Cursor
from raybatch.order.grouped import GroupedSampler
from raybatch.order.members import ChoiceCursor, CompositeCursor
from raybatch.order.rows import Rows
from raybatch.order.seeds import RandomKeys
from raybatch.order.shuffle import (
    Shuffle,
    ShuffleRNG,
    as_shuffle_rng,
    child_shuffles,
    draws_in_turn,
)
from raybatch.order.turns import Rounds, Stratified, Turns, Weighted
from raybatch.sources.batch import Batch, flattened, trim_to_shortest
from raybatch.sources.joining import Piece, joined
from raybatch.sources.ledger import BadSample
from raybatch.sources.source import DataSource, check_source, nodes
from raybatch.sources.weights import checked_weights


class _SeveralDataSource(DataSource):
    """The base of sources that draw from `datasets`, one or more other sources."""

    def __init__(self, datasets: Sequence[DataSource]) -> None:
        if not datasets:
            raise ValueError(f"a {type(self).__name__} needs at least one member")
        for position, child in enumerate(in_order("datasets", datasets)):
            check_source(f"datasets[{position}]", child)
        self.children = tuple(datasets)

    @property
    def datasets(self) -> list[Any]:
        """The member sources."""
        return list(self.children)

    def without(self, samples: Collection[BadSample]) -> DataSource:
        below: list[list[BadSample]] = [[] for _ in self.children]
        for sample in samples:
            if not sample.member or sample.member[0] >= len(self.children):
                raise ValueError(
                    f"exclude has sample {sample.index} of member {sample.member}, but a"
                    f" {type(self).__name__} of {len(self.children)} sources has no such member: is"
                    " the ledger from a different source?"
                )
            below[sample.member[0]].append(replace(sample, member=sample.member[1:]))
        pairs = zip(self.children, below, strict=True)
        return self._with_children(tuple(ds.without(own) if own else ds for ds, own in pairs))

    def _cursors(self, shuffle: Shuffle) -> list[Cursor]:
        shuffles = child_shuffles(shuffle, len(self.children))
        return [child.order(own) for child, own in zip(self.children, shuffles, strict=True)]


class OneOfSeveralDataSource(_SeveralDataSource):
    """The base of sources whose samples each come from one member."""

    def key_of(self, number: int) -> int:
        """Return the number or key from which the random numbers of member `number` are derived."""
        return number

    def name_of(self, number: int) -> str:
        """Return the name of member `number` in messages."""
        return f"member {number}"

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        return joined(
            [
                Piece(
                    self.name_of(number),
                    own,
                    self.children[number].read(rows.child(number), keys.child(self.key_of(number))),
                )
                for number, own in rows.by_child().items()
            ]
        )

    def sample_numbers(self, rows: Rows) -> list[tuple[int, ...]]:
        numbers: list[tuple[int, ...]] = [()] * len(rows)
        for number, own in rows.by_child().items():
            key, below = (
                self.key_of(number),
                self.children[number].sample_numbers(rows.child(number)),
            )
            for row, inner in zip(own.tolist(), below, strict=True):
                numbers[row] = (key, *inner)
        return numbers

    def draw(self, one: Rows, rng: np.random.Generator) -> Rows:
        (number,) = one.by_child()
        return self.children[number].draw(one.child(number), rng).under(number)


class CompositeDataSource(_SeveralDataSource):
    """Draws a batch from every member at each step, and ends when the first member ends.

    A common use is semi-supervised learning: a few labelled samples again and again (`repeats=-1`)
    beside many unlabelled ones. With `flatten` a batch is one flat tuple `(x, y, u)`, or one dict
    if the members give dicts; otherwise it is `((x, y), (u,))`. A dict of sources gives a dict of
    their batches. All arrays of a step are cut to the length of the shortest.

    With `flatten`, the first batch raises ValueError if two dicts share a key.
    """

    def __init__(
        self, datasets: Sequence[DataSource] | Mapping[str, DataSource], flatten: bool = True
    ) -> None:
        self.names = list(datasets) if isinstance(datasets, Mapping) else None
        super().__init__(list(datasets.values()) if isinstance(datasets, Mapping) else datasets)
        self.flatten = flatten

    def num_samples(self, **kwargs: Any) -> int | float | None:
        return _smallest([child.num_samples(**kwargs) for child in self.children])

    def num_batches(self, batch_size: int, **kwargs: Any) -> int | float | None:
        return _smallest([child.num_batches(batch_size, **kwargs) for child in self.children])

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        return CompositeCursor(self._cursors(shuffle), draws_in_turn(shuffle))

    def read(self, rows: Rows, keys: RandomKeys) -> Batch:
        return self._join(
            tuple(
                child.read(rows.child(number), keys.child(number))
                for number, child in enumerate(self.children)
            )
        )

    def sample_numbers(self, rows: Rows) -> list[tuple[int, ...]]:
        numbers = [
            child.sample_numbers(rows.child(number)) for number, child in enumerate(self.children)
        ]
        return [tuple(chain.from_iterable(row)) for row in zip(*numbers, strict=False)]

    def draw(self, one: Rows, rng: np.random.Generator) -> Rows:
        return Rows.joined(
            [(number, ds.draw(one.child(number), rng)) for number, ds in enumerate(self.children)]
        )

    def _join(self, batches: tuple[Batch, ...]) -> Batch:
        return self._flat(trim_to_shortest(batches))

    def _flat(self, batches: tuple[Batch, ...]) -> Batch:
        if self.names is not None:
            return dict(zip(self.names, batches, strict=True))
        return flattened(batches) if self.flatten else batches


def _smallest(counts: list[int | float | None]) -> int | float | None:
    known = [count for count in counts if count is not None]
    return min(known) if len(known) == len(counts) else None


class ChoiceDataSource(OneOfSeveralDataSource):
    """Draws each batch from one member, such as one of several domains.

    Members take turns until one of them ends; with a shuffle, each round has a new random order.
    With `stratified`, and if every member is finite, all batches of all members are drawn, spread
    evenly over the iteration; with a shuffle, in random order.

    `weights` has a number for each member, with any sum. The members then get their shares of the
    batches, as evenly as possible, and the first member that has no batch left ends the iteration.
    In this way, members whose batches each have one group (`GroupedSampler`) can be mixed by
    weight.

    ValueError for weights that do not fit the members, and for weights together with `stratified`.
    """

    def __init__(
        self,
        datasets: Sequence[DataSource],
        stratified: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(datasets)
        self.stratified = stratified
        if stratified and weights is not None:
            raise ValueError(
                "stratified=True draws all batches of all members, so it takes no weights"
            )
        names = [f"datasets[{number}]" for number in range(len(datasets))]
        self.weights = None if weights is None else tuple(checked_weights(weights, names))

    def num_samples(self, **kwargs: Any) -> int | float:
        """Return the sum over the members; a member of unknown size counts as 0."""
        return sum(child.num_samples(**kwargs) or 0 for child in self.children)

    def num_batches(
        self, batch_size: int, shuffle: Shuffle = None, **kwargs: Any
    ) -> int | float | None:
        """Return the number of batches; None if it depends on the random order of the members."""
        counts = [ds.num_batches(batch_size, shuffle=shuffle, **kwargs) for ds in self.children]
        known = [count for count in counts if count is not None]
        if len(known) < len(counts):
            return None
        if self.weights is not None:
            return Weighted(self.weights).num_turns(known)
        if self.stratified and np.inf not in known:
            return sum(known)
        rounds = min(known)
        if as_shuffle_rng(shuffle) is not None and len(set(known)) > 1 and rounds != np.inf:
            return None
        return rounds * len(known) + known.index(rounds)

    def cursor(self, shuffle: Shuffle = None) -> Cursor:
        rng = as_shuffle_rng(shuffle)
        return ChoiceCursor(self._cursors(shuffle), self.turns(rng), draws_in_turn(rng))

    def turns(self, rng: ShuffleRNG | None, **kwargs: Any) -> Turns:
        """Return the order of the members' turns; ValueError if it needs a size that is unknown."""
        if self.weights is not None:
            return Weighted(self.weights)
        sizes = [child.num_samples(shuffle=rng, **kwargs) for child in self.children]
        if not self.stratified or np.inf in sizes:
            return Rounds(len(sizes), rng)
        for position, size in enumerate(sizes):
            if size is None:
                raise ValueError(
                    "a stratified choice needs the number of samples of each member, but it is "
                    f"unknown for datasets[{position}], a {type(self.children[position]).__name__}"
                )
        # Some members give short batches before their end.
        uneven = {
            number
            for number, child in enumerate(self.children)
            if any(_has_short_batches(node) for node in nodes(child))
        }
        return Stratified([int(size or 0) for size in sizes], uneven, rng)


def _has_short_batches(node: DataSource) -> bool:
    """Return whether `node` can give short batches before its end."""
    return isinstance(node, ChoiceDataSource) or isinstance(
        getattr(node, "sampler", None), GroupedSampler
    )
