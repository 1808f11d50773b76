"""`Loader.stats()`: what was delivered, where the time went, and what to do about it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.accessors import row_executor
from raybatch.loader import LoaderStats
from raybatch.stages import StageTimes, collecting, stage
from raybatch.work_pool import AbstractWorkerPool

STAGES = {"read", "decode", "resize", "stack", "other"}


def pool_named(name: str) -> AbstractWorkerPool | None:
    match name:
        case "threads":
            return rb.ThreadPool(2)
        case "actors":
            return rb.RayActorPool(2)
    return None


@pytest.mark.parametrize("pool_name", ["none", "threads", "actors"])
@pytest.mark.usefixtures("ray_cluster")
def test_stats_of_images(photos: list[str], pool_name: str) -> None:
    source = rb.ArrayDataSource([rb.ImageFileAccessor(photos, (32, 32)), np.arange(40)])
    start = time.perf_counter()
    with rb.Loader(source, 16, pool=pool_named(pool_name)) as loader:
        assert loader.stats().bottleneck == "none"
        batches = [batch for _ in range(2) for batch in loader]
        stats = loader.stats()
    seconds = time.perf_counter() - start
    assert (stats.batches, stats.samples) == (6, 80)
    assert stats.nbytes == sum(x.nbytes + y.nbytes for x, y in batches)
    assert set(stats.stages) == STAGES
    assert min(stats.stages[name] for name in ("read", "decode", "resize")) > 0
    assert sum(stats.stages.values()) <= 2.1 * seconds  # two workers
    assert 0 < stats.waited_s + stats.consumer_s <= seconds
    assert (stats.transfer_s > 0) == (pool_name == "actors")
    with pytest.raises(FrozenInstanceError):
        stats.batches = 0  # type: ignore[misc]


class Slow:
    """An array-like whose stage `name` waits, a sample at a time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: Any) -> Any:
        with stage(self.name):
            time.sleep(0.01 * np.size(index))
        return np.zeros((np.size(index), 2))


@pytest.mark.parametrize("name", ["read", "decode", "resize", "stack", "another"])
def test_the_stage_that_takes_longest_is_the_bottleneck(name: str) -> None:
    with rb.Loader(rb.ArrayDataSource([Slow(name)]), 4, pool=rb.ThreadPool(1)) as loader:
        list(loader)
        stats = loader.stats()
    assert stats.stages[name] >= 0.12
    assert stats.bottleneck == name
    assert stats.waiting_share > 0.5
    assert stats.advice in str(stats)


def test_a_loop_that_takes_its_time_is_the_bottleneck() -> None:
    with rb.Loader(rb.ArrayDataSource([np.arange(12)]), 4, pool=rb.ThreadPool(1)) as loader:
        for _ in loader:
            time.sleep(0.05)
        for _ in loader:
            break
        time.sleep(0.1)  # is spent on no batch
        stats = loader.stats()
    assert stats.bottleneck == "consumer"
    assert 0.1 <= stats.consumer_s < 0.25


def test_a_slow_way_here_is_the_bottleneck() -> None:
    stats = LoaderStats(9, 90, 900, 1.0, 0.6, 0.5, dict.fromkeys(STAGES, 0.2))
    assert stats.bottleneck == "transfer"
    assert replace(stats, transfer_s=0.4).bottleneck in STAGES


def test_skipped_samples_are_not_counted(photos: list[str]) -> None:
    images = rb.ImageFileAccessor([*photos[:9], "missing.jpg"], (8, 8))
    with rb.Loader(rb.ArrayDataSource([images]), 4, bad_samples="skip") as loader:
        list(loader)
        assert loader.stats().samples == 9


def test_a_stage_within_another_counts_alone() -> None:
    times = StageTimes()
    start = time.perf_counter()
    with collecting(times):
        with stage("decode"):
            with stage("read"):
                time.sleep(0.02)
            with stage("read"):
                time.sleep(0.02)
        with pytest.raises(ZeroDivisionError), stage("decode"):
            _ = 1 / 0
    total = time.perf_counter() - start
    assert times.seconds["read"] >= 0.04
    assert times.seconds["decode"] < 0.02
    assert sum(times.seconds.values()) <= total
    with stage("read"):
        pass  # nobody collects it


def test_rows_made_on_threads_are_counted_for_their_batch(photos: list[str]) -> None:
    images = rb.ImageFileAccessor(photos, (32, 32))
    with ThreadPoolExecutor(3) as executor, row_executor(executor):
        with collecting(StageTimes()) as times:
            images[np.arange(40)]
    assert times is not None
    assert times.seconds["decode"] > 0
    assert times.seconds["resize"] > 0
