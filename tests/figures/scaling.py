"""Rate and cost at several numbers of actors and hosts, batch sizes and image sizes.

usage: python -m tests.figures.scaling DIR [--curves actors,hosts,batches,sizes,simulated]
                                           [--out FILE.json] [--plot PNG]

    actors      rows that wait 50 ms, on 1 to 64 actors: the share of the ideal rate
    hosts       the same on 1 to 3 test hosts with 8 actors each; needs root and iproute2
    batches     photographs to 64×64 in batches of 8 to 1,024, on two actors: the rate,
                relative to that of two plain loops
    sizes       photographs to 64 to 1,024 pixels in batches of 32, on two actors: the rate,
                relative to that of two plain loops
    simulated   1 to 1,000 simulated workers: CPU µs of the driver per batch, without Ray
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray

import raybatch as rb
from raybatch.stores.listing import find_images
from tests.figures.ceiling import plain_loops, whole_epochs
from tests.pools.simulated_pool import SimulatedPool

WAIT_S = 0.05
ROUNDS = 3
# At least this many batches are timed. In fewer, the rate depends too much on how the first and the
# last batches fall to the actors.
MIN_BATCHES = 16


class Waiting:
    """Rows that take `WAIT_S`, and no CPU, to read."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        time.sleep(WAIT_S)
        return np.repeat(np.asarray(index)[:, None], 1000, axis=1)


def part_of_ideal(pool: rb.RayActorPool, actors: int, batches_each: int = 60) -> float:
    """Return the rate as a share of the ideal rate, at which `actors` only wait."""
    batches = batches_each * actors
    source = rb.ArrayDataSource([Waiting(batches)])
    with rb.Loader(source, 1, pool=pool) as loader:
        stream = iter(loader)
        skipped = 4 * actors
        for _ in range(skipped):  # until all actors are at work
            next(stream)
        began = time.perf_counter()
        rest = sum(1 for _ in stream)
        seconds = time.perf_counter() - began
    return rest * WAIT_S / actors / seconds


def actors(_: list[str]) -> Iterator[tuple[int, float]]:
    ray.init(address="local", num_cpus=64, include_dashboard=False, logging_level=logging.ERROR)
    for count in (1, 2, 4, 8, 16, 32, 64):
        with rb.RayActorPool(count, start_timeout_s=300).wait_until_up() as pool:
            yield count, statistics.median(part_of_ideal(pool, count) for _ in range(ROUNDS))
    ray.shutdown()


ON_HOSTS = """
import statistics, sys
import raybatch as rb
from tests.figures.scaling import part_of_ideal
actors = int(sys.argv[2])
with rb.RayActorPool(actors, address=sys.argv[1], start_timeout_s=300).wait_until_up() as pool:
    print(statistics.median(part_of_ideal(pool, actors) for _ in range(3)))
"""


def hosts(_: list[str]) -> Iterator[tuple[int, float]]:
    from cluster.hosts import Hosts

    for count in (1, 2, 3):
        with Hosts(workers=count, cpus=8) as test_hosts:
            command = [sys.executable, "-c", ON_HOSTS, test_hosts.address, str(8 * count)]
            program = test_hosts.head.start(command, stdout=subprocess.PIPE)
            text, _error = program.communicate(timeout=300)
            yield count, float(text.splitlines()[-1])


def over_plain_loops(
    paths: list[str], pool: rb.RayActorPool, edge: int, batch_size: int
) -> tuple[float, float]:
    """Return the median rate in images per second, and its median ratio to two plain loops."""
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (edge, edge))])
    epochs = -(-MIN_BATCHES * batch_size // len(paths))
    with rb.Loader(source, batch_size, shuffle=0, pool=pool) as loader:
        whole_epochs(loader, 1)
        rates, ratios = [], []
        for _ in range(ROUNDS):
            loader.set_epoch(loader.epoch + 1)
            while psutil.cpu_percent(1.0) > 20:  # the actors still make batches ahead
                pass
            loops, rate = plain_loops(paths, edge), whole_epochs(loader, epochs)
            rates.append(rate)
            ratios.append(rate / loops)
    return statistics.median(rates), statistics.median(ratios)


def batches(paths: list[str]) -> Iterator[tuple[int, float]]:
    with rb.RayActorPool(2).wait_until_up() as pool:
        for batch_size in (8, 16, 32, 64, 128, 256, 512, 1024):
            yield batch_size, over_plain_loops(paths[:2048], pool, 64, batch_size)[1]


def sizes(paths: list[str]) -> Iterator[tuple[int, float]]:
    with rb.RayActorPool(2).wait_until_up() as pool:
        for edge in (64, 128, 224, 512, 1024):
            yield edge, over_plain_loops(paths[:512], pool, edge, 32)[1]


def simulated(_: list[str]) -> Iterator[tuple[int, float]]:
    for count in (1, 10, 100, 1000):
        number = max(2000, 10 * count)
        source = rb.ArrayDataSource([np.arange(number)])
        with rb.Loader(source, 1, shuffle=0, pool=SimulatedPool(count)) as loader:
            began = time.process_time()
            made = sum(1 for _ in loader)
            yield count, (time.process_time() - began) / made * 1e6


CURVES: dict[str, Callable[[list[str]], Iterator[tuple[int, float]]]] = {
    "actors": actors,
    "hosts": hosts,
    "batches": batches,
    "sizes": sizes,
    "simulated": simulated,
}
TITLES = {
    "actors": ("actors whose reads wait 50 ms", "part of the ideal rate"),
    "hosts": ("hosts with 8 such actors each", "part of the ideal rate"),
    "batches": ("batch size, photographs to 64×64", "rate / two plain loops"),
    "sizes": ("image size in pixels, batches of 32", "rate / two plain loops"),
    "simulated": ("simulated workers", "driver CPU, µs a batch"),
}


def plot(measured: dict[str, list[tuple[int, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(measured), 3), layout="constrained")
    for axes, (name, points) in zip(
        figure.subplots(1, len(measured), squeeze=False)[0], measured.items(), strict=True
    ):
        axes.plot(*zip(*points, strict=True), "o-", color="tab:orange")
        axes.set_xscale("log", base=10 if name == "simulated" else 2)
        axes.set_xticks([x for x, _ in points], [str(x) for x, _ in points])
        axes.minorticks_off()
        axes.set_ylim(0, 1.08 * max(y for _, y in points))
        axes.set_xlabel(TITLES[name][0])
        axes.set_ylabel(TITLES[name][1])
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir")
    parser.add_argument("--curves", default=",".join(CURVES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    paths = find_images(arguments.dir)
    measured: dict[str, list[tuple[int, float]]] = {}
    for name in arguments.curves.split(","):
        measured[name] = []
        print(f"{TITLES[name][0]}: {TITLES[name][1]}")
        for x, value in CURVES[name](paths):
            measured[name].append((x, value))
            print(f"    {x:5d}  {value:.3f}", flush=True)
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(measured))
    if arguments.plot is not None:
        plot(measured, arguments.plot)


if __name__ == "__main__":
    main()
