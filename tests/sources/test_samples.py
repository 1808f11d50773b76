"""`len(source)` and `source[i]`: the samples of a pass in order, to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import raybatch as rb


def numbers(count: int, **settings: Any) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(count), np.arange(count) * 2.0], **settings)


def drawn(x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, float]:
    return x, rng.random()


SOURCES: dict[str, Callable[[], Any]] = {
    "array": lambda: numbers(5),
    "subset, twice": lambda: numbers(5, indices=[4, 1], repeats=2).map_samples(drawn),
    "mapped": lambda: numbers(5).map(lambda x, y: (x + 1, y)),
    "samples mapped": lambda: numbers(5).map_samples(drawn),
    "composite": lambda: rb.CompositeDataSource([numbers(3), numbers(5).map_samples(drawn)]),
    "choice": lambda: rb.ChoiceDataSource([numbers(3), numbers(3)]),
    "dict": lambda: rb.ArrayDataSource({"x": np.arange(4), "y": np.ones((4, 2))}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_samples_are_the_rows_of_a_pass_in_order(kind: str) -> None:
    source = SOURCES[kind]()
    batches = list(rb.Loader(source, 1))
    assert len(source) == len(batches)
    for index, batch in enumerate(batches):
        row = source[index]
        assert type(row) is type(batch)
        for key in row if isinstance(row, dict) else range(len(row)):
            np.testing.assert_array_equal(row[key], batch[key][0])
    np.testing.assert_equal(source[-1], source[len(source) - 1])
    for outside in (len(source), -len(source) - 1):
        with pytest.raises(IndexError, match=f"index {outside} is out of range"):
            source[outside]
    assert len(list(source)) == len(source)


def test_a_sampler_that_cannot_go_in_order_is_shuffled_with_seed_0() -> None:
    source = numbers(5, sampler=rb.WeightedSampler(np.arange(5), num_samples=7))
    (batch,) = source.batch_iterator(7, shuffle=0)
    assert [source[i][0] for i in range(len(source))] == batch[0].tolist()


def test_what_has_no_length_or_no_samples_says_so() -> None:
    endless = numbers(3, repeats=-1)
    assert endless[4][0] == 1
    with pytest.raises(TypeError, match="ArrayDataSource has no end"):
        len(endless)
    once = rb.IteratorDataSource(iter([(np.ones(3),)]))
    with pytest.raises(TypeError, match="does not know its number"):
        len(once)
    with pytest.raises(TypeError, match="no random access"):
        once[0]
    with pytest.raises(TypeError, match="integer"):
        numbers(3)["x"]  # type: ignore[index]


def test_a_source_is_no_array() -> None:
    with pytest.raises(TypeError, match=r"data\[0\] is a data source: .*CompositeDataSource"):
        rb.ArrayDataSource([numbers(3)])
