"""Every kind of source that can be split and resumed, over numbers that identify the samples."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import raybatch as rb
from raybatch.batchup.data_source import AbstractDataSource


def numbers(start: int, count: int, **options: Any) -> rb.ArrayDataSource:
    """Return a source of `count` numbers: `start`, `start` + 1, ..."""
    return rb.ArrayDataSource([np.arange(start, start + count)], **options)


class Faulty:
    """An array-like of the numbers from `start` on, which does `trouble` at the indices `bad`.

    Before it aborts, it leaves a file named after its process in `graves`, if that is a folder.
    """

    def __init__(
        self,
        start: int,
        length: int,
        bad: tuple[int, ...] = (),
        trouble: str = "raise",
        graves: Path | None = None,
    ) -> None:
        self.start, self.length, self.bad, self.trouble = start, length, bad, trouble
        self.graves = graves

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        for number in index:
            if number not in self.bad:
                continue
            if self.trouble == "abort":
                if self.graves is not None:
                    (self.graves / str(os.getpid())).touch()
                os.abort()
            if self.trouble == "os._exit":
                os._exit(0)
            if self.trouble == "sys.exit":
                sys.exit(3)
            raise ValueError(f"{number} is bad")
        return self.start + np.asarray(index)


def faulty(start: int, length: int, *bad: int, trouble: str = "raise") -> rb.ArrayDataSource:
    return rb.ArrayDataSource([Faulty(start, length, bad, trouble), np.arange(length)])


def finite_sources() -> dict[str, Callable[[], AbstractDataSource]]:
    """Return sources whose epochs deliver every number of every member once."""
    return {
        "array": lambda: numbers(0, 23),
        "subset": lambda: numbers(0, 40, indices=np.arange(1, 40, 2)),
        "map": lambda: numbers(0, 23).map(lambda x: (x, -x)),
        "composite": lambda: rb.CompositeDataSource([numbers(0, 23), numbers(100, 23)]),
        "stratified": lambda: rb.ChoiceDataSource(
            [numbers(0, 23), numbers(100, 11), numbers(200, 5)], stratified=True
        ),
    }


def all_sources() -> dict[str, Callable[[], AbstractDataSource]]:
    """Return the finite sources, and sources whose epochs repeat samples or leave some out."""
    weights = np.arange(1, 24)
    return {
        **finite_sources(),
        "repeated": lambda: numbers(0, 7, repeats=3),
        "trimmed": lambda: rb.CompositeDataSource([numbers(0, 23), numbers(100, 9, repeats=2)]),
        "choice": lambda: rb.ChoiceDataSource([numbers(0, 23), numbers(100, 17)]),
        "composite of choices": lambda: rb.CompositeDataSource(
            [rb.ChoiceDataSource([numbers(0, 23), numbers(100, 17)]), numbers(200, 31)]
        ),
        "weighted beside a finite one": lambda: rb.CompositeDataSource(
            [numbers(0, 23, sampler=rb.WeightedSampler(weights)), numbers(100, 20)]
        ),
        "weighted, 19 draws": lambda: numbers(0, 23, sampler=rb.WeightedSampler(weights, 19)),
        "sampler that only iterates": lambda: numbers(0, 23, sampler=Backwards(23)),
        "mixture": lambda: rb.MixDataSource(
            [numbers(0, 23), numbers(100, 5, repeats=2), numbers(200, 3)],
            [(0, [5, 2, 1]), (17, [1, 1, 1])],
            stop="all",
        ),
    }


class Backwards(rb.sampling.AbstractSampler):
    """A user's sampler, written for BatchUp: it has only iterators."""

    def __init__(self, length: int) -> None:
        self.length = length

    def num_indices_generated(self) -> int:
        return self.length

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Any]:
        order = np.arange(self.length)[::-1]
        for start in range(0, self.length, batch_size):
            yield order[start : start + batch_size]

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Any) -> Iterator[Any]:
        order = shuffle_rng.permutation(self.length)
        for start in range(0, self.length, batch_size):
            yield order[start : start + batch_size]


SHUFFLES: dict[str, Callable[[], Any]] = {
    "in order": lambda: None,
    "seed": lambda: 12345,
    "RandomState": lambda: np.random.RandomState(12345),
    "Generator": lambda: np.random.default_rng(12345),
}

# A weighted sampler has no order without a shuffle.
PROGRAMS = [
    (kind, shuffle)
    for kind in all_sources()
    for shuffle in SHUFFLES
    if not (kind.startswith("weighted") and shuffle == "in order")
]


def delivered(batch: tuple[Any, ...]) -> list[Any]:
    """Return the arrays of a batch as lists, which can be compared."""
    return [array.tolist() for array in batch]
