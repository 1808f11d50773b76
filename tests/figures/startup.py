"""Seconds from millions of paths to the first batch, and the memory that an actor needs for them.

usage: python -m tests.figures.startup DIR [--paths 1000000 10000000] [--edge 224] [--rounds 5]

The list repeats the paths of the photographs in DIR. Each round has its own loader on the same
running pool. For comparison, this process then makes one batch, directly from the source.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import psutil
import pyarrow as pa

import raybatch as rb
from raybatch.stores.listing import find_images


def actors_mb() -> list[float]:
    """Return the private memory of each of this Ray's actors, in MB."""
    return [
        process.memory_full_info().uss / 1e6
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("ray::")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir")
    parser.add_argument("--paths", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found, size = find_images(arguments.dir), (arguments.edge, arguments.edge)
    began = time.perf_counter()
    with rb.RayActorPool(2) as pool:
        print(f"Ray and two actors {time.perf_counter() - began:.2f} s")
        warm_up = rb.ArrayDataSource([rb.ImageFileAccessor(found[:512], size)])
        with rb.Loader(warm_up, 64, pool=pool) as loader:
            for _ in loader:
                pass
        for count in arguments.paths:
            measure(pool, found, count, size, arguments.rounds)


def measure(
    pool: rb.RayActorPool, found: list[str], count: int, size: tuple[int, int], rounds: int
) -> None:
    order = np.random.default_rng(0).integers(0, len(found), count)
    paths: list[str] = pa.array(found).take(order).to_pylist()
    before = actors_mb()
    began = time.perf_counter()
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, size)])
    accessor_s = time.perf_counter() - began
    print(f"{count:,} paths: accessor {accessor_s:.2f} s")
    over, indices = [], np.random.default_rng(1).integers(0, count, (rounds, 64))
    for seed in range(rounds):
        began = time.perf_counter()
        with rb.Loader(source, 64, shuffle=seed, pool=pool) as loader:
            made = time.perf_counter()
            iterator = iter(loader)
            next(iterator)
            first_s = time.perf_counter() - made
            for _ in range(6):  # now both actors have the source
                next(iterator)
            del iterator
            grown = max(after - mb for after, mb in zip(actors_mb(), before, strict=True))
        time.sleep(1)  # the actors finish the batches that they make ahead
        started = time.perf_counter()
        source.samples_by_indices(indices[seed])
        one_s = time.perf_counter() - started
        over.append(first_s - one_s)
        print(
            f"    loader {made - began:.2f} s, first batch {first_s:.2f} s, "
            f"one batch on one worker {one_s:.2f} s, actors larger by {grown:.0f} MB"
        )
    print(f"    first batch later than one batch by {statistics.median(over):.2f} s in the median")


if __name__ == "__main__":
    main()
