"""The rate of batches without data, compared with a bare loop of Ray actor calls.

usage: python -m tests.figures.empty_batches [--batches 5000] [--rounds 5]

Both have the same number of calls under way.
"""

from __future__ import annotations

import argparse
import collections
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import ray

import raybatch as rb


class Indices:
    """An array-like that returns the indices of a batch."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return index


@ray.remote
class Echo:
    def make(self, key: str, item: Any) -> Any:
        return item


def bare_calls(actors: list[Any], batches: int, window: int) -> None:
    waiting: collections.deque[Any] = collections.deque()
    for number in range(batches):
        indices = np.arange(64 * number, 64 * number + 64)
        waiting.append(actors[number % len(actors)].make.remote("0" * 32, indices))
        if len(waiting) >= window:
            ray.get(waiting.popleft())
    while waiting:
        ray.get(waiting.popleft())


def measure(work: Callable[[], None], batches: int) -> tuple[float, float, float]:
    """Return batches per second, and CPU µs per batch: of this process and of the machine."""
    machine, own, began = busy_s(), time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    own, machine = time.process_time() - own, busy_s() - machine
    return batches / seconds, own / batches * 1e6, machine / batches * 1e6


def busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    batches = arguments.batches
    ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level=logging.ERROR)
    echo: Any = Echo
    actors = [echo.remote() for _ in range(2)]
    source = rb.ArrayDataSource([Indices(64 * batches)])
    with rb.RayActorPool(2) as pool, rb.Loader(source, 64, pool=pool) as loader:
        window = pool.default_prefetch().batches

        def through_the_loader() -> None:
            assert sum(1 for _ in loader) == batches
            loader.set_epoch(loader.epoch + 1)

        bare_calls(actors, 500, window)
        through_the_loader()
        ratios = []
        for _ in range(arguments.rounds):
            bare, *bare_cpu = measure(lambda: bare_calls(actors, batches, window), batches)
            ours, *our_cpu = measure(through_the_loader, batches)
            ratios.append(ours / bare)
            print(
                f"bare {bare:.0f}/s, CPU of the driver {bare_cpu[0]:.0f} us, of all"
                f" {bare_cpu[1]:.0f} us   loader {ours:.0f}/s, {our_cpu[0]:.0f} us,"
                f" {our_cpu[1]:.0f} us   ratio {ratios[-1]:.3f}"
            )
    print(f"median ratio {statistics.median(ratios):.3f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
