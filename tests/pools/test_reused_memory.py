"""The memory of a batch is reused once nothing refers to the batch any more, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.pools.inline import InlinePool
from raybatch.pools.pool import WorkerPool
from raybatch.pools.threads import ThreadPool
from raybatch.scheduling.settings import Prefetch
from raybatch.structure import leaves


@pytest.fixture(params=[InlinePool, ThreadPool])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkerPool]:
    with request.param() as pool:
        yield pool


@pytest.fixture
def source(photos: list[str]) -> rb.ArrayDataSource:
    """A source of forty images; a batch of four of them takes 1.2 MB."""
    layout = rb.PixelLayout(np.float32, channels_first=True)
    return rb.ArrayDataSource([rb.ImageFileAccessor(photos, (160, 160), layout=layout)])


def test_batches_that_are_kept_stay_what_they_are(
    source: rb.ArrayDataSource, pool: WorkerPool
) -> None:
    expected = rb.stream_digest(source.batch_iterator(4))
    with rb.Loader(source, 4, pool=pool) as loader:
        kept = list(loader)
        views = [x[1:] for (x,) in loader]
        for (x,) in loader:
            del x
    assert rb.stream_digest(kept) == expected
    assert all(np.array_equal(view, x[1:]) for view, (x,) in zip(views, kept, strict=True))


def place_of_piece(array: Any) -> int:
    """Return the address of the reusable piece of memory that `array` lies in."""
    while isinstance(array, np.ndarray):
        array = array.base
    place: int = array._piece.ctypes.data
    return place


def test_batches_that_are_let_go_leave_their_memory_to_others(
    source: rb.ArrayDataSource, pool: WorkerPool
) -> None:
    places = []
    with rb.Loader(source, 4, pool=pool, prefetch=Prefetch(batches=1)) as loader:
        for batch in loader:
            places += [place_of_piece(leaf) for leaf in leaves(batch)]
            del batch
    assert len(places) == 10
    assert len(set(places)) < 8
