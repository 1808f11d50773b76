"""`len(source)` and `source[i]`: the samples of a pass in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import raybatch as rb


def numbers(count: int, **settings: Any) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(count), np.arange(count) * 2.0], **settings)


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
