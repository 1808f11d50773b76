"""Short forms of arguments: `seed=`, `workers=`, a number as `prefetch`, a pair as `split`."""

from __future__ import annotations

import numpy as np
import pytest

import raybatch as rb
from tests.drivers import actor_processes


@pytest.fixture
def source() -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(40)])


def test_a_seed_is_that_of_the_shuffle(source: rb.ArrayDataSource) -> None:
    loader = rb.Loader(source, 8, shuffle=True, seed=7)
    wanted = rb.Loader(source, 8, shuffle=7)
    assert loader.state_dict() == wanted.state_dict()
    assert rb.stream_digest(loader) == rb.stream_digest(wanted)
    zero = rb.Loader(source, 8, shuffle=True, seed=np.int64(0))
    assert zero.state_dict()["shuffle"] == 0


def test_a_pair_is_a_rank(source: rb.ArrayDataSource) -> None:
    for rank in range(2):
        loader = rb.Loader(source, 4, split=(rank, 2))
        assert rb.stream_digest(loader) == rb.stream_digest(
            rb.Loader(source, 4, split=rb.RankSplit(rank, 2))
        )


def test_a_number_of_batches_to_prefetch(source: rb.ArrayDataSource) -> None:
    with rb.ThreadPool(1) as pool, rb.Loader(source, 4, pool=pool, prefetch=3) as loader:
        assert loader._producer.prefetch == rb.Prefetch(3)
        assert len(list(loader)) == 10


def test_workers_are_actors_that_end_with_the_loader(
    ray_cluster: None, source: rb.ArrayDataSource
) -> None:
    before = {process.pid for process in actor_processes()}
    with rb.Loader(source, 8, shuffle=True, seed=7, workers=2) as loader:
        assert "RayActorPool(2 actors)" in repr(loader)
        wanted = rb.Loader(source, 8, shuffle=True, seed=7, workers=0)
        assert "InlinePool()" in repr(wanted)
        assert rb.stream_digest(loader) == rb.stream_digest(wanted)
        own = [process for process in actor_processes() if process.pid not in before]
        assert own
    for process in own:
        process.wait(timeout=30)
