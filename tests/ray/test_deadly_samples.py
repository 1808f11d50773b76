"""Samples that kill the worker process that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import raybatch as rb
from tests.drivers import actor_processes
from tests.sample_sources import Faulty, faulty


def test_one_is_skipped_and_not_tried_again(actors: rb.RayActorPool) -> None:
    source = faulty(0, 60, 13, trouble="abort")
    with rb.Loader(source, 8, shuffle=1, pool=actors, bad_samples="skip") as loader:
        wanted = rb.Loader(faulty(0, 60, 13), 8, shuffle=1, bad_samples="skip")
        assert rb.stream_digest(loader) == rb.stream_digest(wanted)
        (bad,) = loader.bad_samples
        assert (bad.index, bad.error) == (13, "WorkerLostError")
        actors.wait_until_up()
        before = {process.pid for process in actor_processes()}
        assert rb.stream_digest(loader) == rb.stream_digest(wanted)
        assert {process.pid for process in actor_processes()} == before


def test_few_workers_die_for_it(actors: rb.RayActorPool, tmp_path: Path) -> None:
    accessor = Faulty(0, 4000, (1234,), "abort", graves=tmp_path)
    source = rb.ArrayDataSource([accessor, np.arange(4000)])
    with rb.Loader(source, 64, shuffle=1, pool=actors, bad_samples="skip") as loader:
        assert sum(len(x) for x, _ in loader) == 3999
        assert [bad.index for bad in loader.bad_samples] == [1234]
    assert 2 <= len(list(tmp_path.iterdir())) <= 20


def test_one_in_a_member_is_named_and_replaced(actors: rb.RayActorPool) -> None:
    def source(trouble: str) -> rb.CompositeDataSource:
        return rb.CompositeDataSource([faulty(0, 60), faulty(0, 60, 13, trouble=trouble)])

    with rb.Loader(source("abort"), 8, shuffle=1, pool=actors, bad_samples="replace") as loader:
        wanted = rb.Loader(source("raise"), 8, shuffle=1, bad_samples="replace")
        assert rb.stream_digest(loader) == rb.stream_digest(wanted)
        assert [(bad.member, bad.index) for bad in loader.bad_samples] == [((1,), 13)]


def test_without_a_policy_the_error_names_it(actors: rb.RayActorPool) -> None:
    with rb.Loader(faulty(0, 24, 13, trouble="os._exit"), 8, pool=actors) as loader:
        batches = iter(loader)
        assert len(next(batches)[0]) == 8
        with pytest.raises(rb.errors.BatchError, match="sample 13 ends every worker"):
            next(batches)
        assert len(next(batches)[0]) == 8
