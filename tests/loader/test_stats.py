"""`Loader.stats()`: counts of batches and samples, the time of each stage, and advice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.accessors.reading import row_executor
from raybatch.loader.stats import LoaderStats, StatsCounter
from raybatch.pools.session import HandOver
from raybatch.stages import StageTimes, collecting, stage

STAGES = {"read", "decode", "resize", "stack", "other", "store"}


@pytest.mark.parametrize("pool_name", ["none", "threads", "actors"])
def test_stats_of_images(photos: list[str], pool_name: str, actors: rb.RayActorPool) -> None:
    pool = {"none": None, "threads": rb.ThreadPool(2), "actors": actors}[pool_name]
    source = rb.ArrayDataSource([rb.ImageFileAccessor(photos, (32, 32)), np.arange(40)])
    start = time.perf_counter()
    with rb.Loader(source, 16, pool=pool) as loader:
        assert loader.stats().bottleneck == "none"
        batches = [batch for _ in range(2) for batch in loader]
        stats = loader.stats()
    seconds = time.perf_counter() - start
    assert (stats.batches, stats.samples) == (6, 80)
    assert stats.nbytes == sum(x.nbytes + y.nbytes for x, y in batches)
    assert set(stats.stages) == STAGES
    assert min(stats.stages[name] for name in ("read", "decode", "resize")) > 0
    assert sum(stats.stages.values()) <= 2.1 * seconds  # two workers at the same time
    assert 0 < stats.waited_s + stats.consumer_s <= seconds
    assert (stats.transfer_s > 0) == (pool_name == "actors")
    assert (stats.stages["store"] > 0) == (pool_name == "actors")
    with pytest.raises(FrozenInstanceError):
        stats.batches = 0  # type: ignore[misc]


class Slow:
    """An array-like that spends 10 ms for each sample in the stage `name`."""

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
    assert stats.stages[name] > 0.11  # 12 samples of 0.01 s each
    assert stats.bottleneck == name
    assert stats.waiting_share > 0.5
    assert stats.advice in str(stats)


class Clock:
    """A clock that advances only when a test changes `now`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_takes_its_time_is_the_bottleneck() -> None:
    clock, batch = Clock(), (np.zeros(4),)
    counter = StatsCounter(clock)
    for consumer_s in (5.0, 7.0):
        counter.waiting()
        clock.now += 0.25
        counter.made(4, {"decode": 0.5})
        counter.delivered(batch)
        clock.now += consumer_s
    counter.waiting()
    counter.epoch_left()
    clock.now += 1000  # not counted, because no loop is running
    counter.waiting()
    stats = counter.snapshot(HandOver())
    assert (stats.waited_s, stats.consumer_s) == (0.5, 12.0)
    assert (stats.samples, stats.stages["decode"]) == (8, 1.0)
    assert stats.bottleneck == "consumer"


def test_what_follows_a_loop_is_not_spent_on_its_last_batch() -> None:
    with rb.Loader(rb.ArrayDataSource([np.arange(12)]), 4) as loader:
        clock = loader._counter._clock = Clock()
        for _ in loader:
            clock.now += 2
        clock.now += 1000
        for _ in loader:
            break
        clock.now += 1000
        next(iter(loader))
        stats = loader.stats()
    assert (stats.waited_s, stats.consumer_s) == (0.0, 6.0)


def test_the_start_of_a_pool_is_not_the_bottleneck_of_what_follows() -> None:
    clock, batch, bottlenecks = Clock(), (np.zeros(4),), []
    counter = StatsCounter(clock)
    for waited_s in (30.0, 0.25, 0.25):
        counter.waiting()
        clock.now += waited_s
        counter.made(4, {"decode": 0.5})
        counter.delivered(batch)
        clock.now += 5
        bottlenecks.append(counter.snapshot(HandOver()).bottleneck)
    assert bottlenecks == ["decode", "consumer", "consumer"]


def test_a_slow_way_here_is_the_bottleneck() -> None:
    stats = LoaderStats(9, 90, 900, 1.0, 0.6, 0.5, dict.fromkeys(STAGES, 0.2))
    assert stats.bottleneck == "transfer"
    assert replace(stats, transfer_s=0.4).bottleneck in STAGES


def test_skipped_samples_are_not_counted(photos: list[str]) -> None:
    images = rb.ImageFileAccessor([*photos[:9], "missing.jpg"], (8, 8))
    with rb.Loader(rb.ArrayDataSource([images]), 4, bad_samples="skip") as loader:
        list(loader)
        assert loader.stats().samples == 9


def test_a_stage_within_another_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("raybatch.stages.time", SimpleNamespace(perf_counter=clock))
    with collecting(StageTimes()) as times:
        with stage("decode"):
            clock.now += 1
            for _ in range(2):
                with stage("read"):
                    clock.now += 10
        with pytest.raises(ZeroDivisionError), stage("resize"):
            clock.now += 100
            _ = 1 / 0
    with stage("read"):  # not counted, because it is outside of `collecting`
        clock.now += 1000
    assert times is not None
    assert times.seconds == {"decode": 1, "read": 20, "resize": 100}


def test_rows_made_on_threads_are_counted_for_their_batch(photos: list[str]) -> None:
    images = rb.ImageFileAccessor(photos, (32, 32))
    with ThreadPoolExecutor(3) as executor, row_executor(executor):
        with collecting(StageTimes()) as times:
            images[np.arange(40)]
    assert times is not None
    assert times.seconds["decode"] > 0
    assert times.seconds["resize"] > 0
