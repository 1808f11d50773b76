"""The length of a loader is the number of batches that come."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import raybatch as rb


class Uneven(rb.sampling.AbstractSampler):
    """A user-defined sampler that ignores `batch_size`."""

    def num_indices_generated(self) -> int:
        return 9

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Any]:
        yield from (np.arange(2), np.arange(2, 3), np.arange(3, 7), np.arange(7, 9))


def test_the_length_is_exact_for_a_sampler_that_cuts_batches_as_it_likes() -> None:
    loader = rb.Loader(rb.ArrayDataSource([np.arange(9)], sampler=Uneven()), 4)
    assert len(loader) == len(list(loader)) == 4


def test_an_epoch_that_a_finite_member_ends_has_a_length() -> None:
    endless = rb.ArrayDataSource([np.arange(4)], repeats=-1)
    source = rb.ChoiceDataSource([endless, rb.ArrayDataSource([np.arange(8)])])
    loader = rb.Loader(source, 2, shuffle=1)
    assert len(loader) == sum(1 for _ in source.batch_iterator(2, shuffle=1))


def test_a_source_without_end() -> None:
    source = rb.ArrayDataSource([np.arange(10)], repeats=-1)
    with rb.ThreadPool(1) as pool, rb.Loader(source, 4, shuffle=3, pool=pool) as loader:
        with pytest.raises(TypeError, match="no end"):
            len(loader)
        ours = list(itertools.islice(loader, 20))
    serial = list(itertools.islice(source.batch_iterator(4, shuffle=3), 20))
    assert rb.stream_digest(ours) == rb.stream_digest(serial)


def test_the_length_is_exact_where_chance_decides_it() -> None:
    source = rb.ChoiceDataSource([rb.ArrayDataSource([np.arange(n)]) for n in (30, 50, 40)])
    for seed in range(5):
        loader = rb.Loader(source, 3, shuffle=seed)
        for _ in range(3):
            expected = len(loader)
            assert sum(1 for _ in loader) == expected
