"""Two versions of raybatch in one run, measured in turns: the speed of one over that of the other.

usage: python -m tests.figures.house OLD NEW DIR [--works stretch,empty,waiting,first] [--rounds 7]    photographs

OLD and NEW are checkouts, each with its own `.venv`, or with the interpreters that --old-python and --new-python name.

    stretch   images/s stretched to 224×224 by two actors
    empty     batches/s that hold nothing, through two actors
    waiting   part of the ideal rate of 32 actors whose rows wait 50 ms
    first     seconds from a list of a million paths, and a pool that is up, to the first batch

Each version has a process of its own with its own Ray, and measures while the other is idle. Every round asks both,
and the one that goes first changes from round to round. A ratio is that of the speeds, new over old, so that more
than 1 is faster in all four.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ray

import raybatch as rb

WAIT_S = 0.05
QUIET_S = 1.0  # by then what was made ahead when a loader closed has ended


class Echo:
    """An array-like that returns the indices it is given, `wait_s` seconds later."""

    def __init__(self, length: int, wait_s: float = 0.0) -> None:
        self.length, self.wait_s = length, wait_s

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        time.sleep(self.wait_s)
        return index


class Package:
    """An array-like of one sample: the file of the raybatch that reads it."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        import raybatch  # that of the actor

        return np.array([raybatch.__file__])


def rate(loader: rb.Loader, skipped: int = 0) -> float:
    """Return the samples a second of one epoch, without the first `skipped` batches."""
    stream = iter(loader)
    for _ in range(skipped):
        next(stream)
    began = time.perf_counter()
    samples = sum(len(batch[0]) for batch in stream)
    return samples / (time.perf_counter() - began)


def stretch(pool: Any, options: argparse.Namespace) -> Iterator[float]:
    images = rb.ImageFileAccessor(photographs(options), (options.edge, options.edge))
    source = rb.ArrayDataSource([images])
    while True:
        with rb.Loader(source, 64, shuffle=0, pool=pool) as loader:
            speed = rate(loader)
        yield speed


def empty(pool: Any, options: argparse.Namespace) -> Iterator[float]:
    source = rb.ArrayDataSource([Echo(64 * options.batches)])
    while True:
        with rb.Loader(source, 64, pool=pool) as loader:
            speed = rate(loader) / 64
        yield speed


def waiting(pool: Any, options: argparse.Namespace) -> Iterator[float]:
    source = rb.ArrayDataSource([Echo(60 * options.actors, WAIT_S)])
    while True:
        with rb.Loader(source, 1, pool=pool) as loader:
            speed = rate(loader, skipped=4 * options.actors) * WAIT_S / options.actors
        yield speed


def first(pool: Any, options: argparse.Namespace) -> Iterator[float]:
    """Yield first batches a second; each is of a source of its own, which no actor has yet."""
    found = photographs(options)
    paths = [found[number % len(found)] for number in range(options.paths)]
    while True:
        began = time.perf_counter()
        images = rb.ImageFileAccessor(paths, (options.edge, options.edge))
        with rb.Loader(rb.ArrayDataSource([images]), 64, shuffle=0, pool=pool) as loader:
            next(iter(loader))
            speed = 1 / (time.perf_counter() - began)
        yield speed


WORKS: dict[str, Callable[[Any, argparse.Namespace], Iterator[float]]] = {
    "stretch": stretch,
    "empty": empty,
    "waiting": waiting,
    "first": first,
}
SHOWN: dict[str, Callable[[float], str]] = {
    "stretch": "{:.0f} images/s".format,
    "empty": "{:.0f} batches/s".format,
    "waiting": "{:.3f} of the ideal".format,
    "first": lambda speed: f"{1 / speed:.2f} s",
}


def photographs(options: argparse.Namespace) -> list[str]:
    return sorted(str(path) for path in Path(options.dir).rglob("*.[jJ][pP]*[gG]"))


def serve(name: str, options: argparse.Namespace) -> None:
    """Measure once for each line of the standard input, and answer with the speed."""
    number = options.actors if name == "waiting" else 2
    ray.init(address="local", num_cpus=number, include_dashboard=False, logging_level=logging.ERROR)
    with rb.RayActorPool(number, start_timeout_s=300).wait_until_up() as pool:
        speeds = WORKS[name](pool, options)
        next(speeds)  # the actors have imported what they need
        with rb.Loader(rb.ArrayDataSource([Package()]), 1, pool=pool) as loader:
            ((there,),) = loader
        print(f"={rb.__file__}\n={there[0]}", flush=True)
        for _ in sys.stdin:
            print(f"={next(speeds)}", flush=True)
    ray.shutdown()


class Version:
    """A process that measures one work with the raybatch of one checkout."""

    def __init__(self, checkout: Path, python: Path, arguments: list[str], name: str) -> None:
        self._process = subprocess.Popen(
            [python, Path(__file__).absolute(), *arguments, "--serve", name],
            cwd=checkout,  # Ray's workers import from there first
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in ("driver", "actor"):
            if (package := Path(self._heard())).parent.parent != checkout:
                raise SystemExit(f"the {place} imports {package}, not the raybatch of {checkout}")

    def measure(self) -> float:
        """Return the speed of one more round."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return float(self._heard())

    def _heard(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("="):
                return line[1:].strip()
        raise SystemExit(f"{self._process.args!r} ended with {self._process.wait()}")

    def close(self) -> None:
        """Let the process end, and its Ray with it."""
        self._process.communicate()


def compare(name: str, options: argparse.Namespace) -> None:
    """Print the speeds of both versions in each round, and the median of their ratios."""
    arguments = [str(options.old), str(options.new), str(options.dir)]
    for option in ("edge", "batches", "actors", "paths"):
        arguments += [f"--{option}", str(getattr(options, option))]
    with contextlib.ExitStack() as stack:
        versions = [
            stack.enter_context(contextlib.closing(Version(checkout, python, arguments, name)))
            for checkout, python in (
                (options.old, options.old_python),
                (options.new, options.new_python),
            )
        ]
        ratios = []
        for number in range(options.rounds):
            speeds = [0.0, 0.0]
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                time.sleep(QUIET_S)
                speeds[which] = versions[which].measure()
            ratios.append(speeds[1] / speeds[0])
            old, new = map(SHOWN[name], speeds)
            print(f"{name}: old {old}, new {new}, ratio {ratios[-1]:.3f}", flush=True)
    print(
        f"{name}: median ratio {statistics.median(ratios):.3f}, "
        f"from {min(ratios):.3f} to {max(ratios):.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=lambda text: Path(text).resolve())
    parser.add_argument("new", type=lambda text: Path(text).resolve())
    parser.add_argument("dir", type=lambda text: Path(text).resolve())
    parser.add_argument("--old-python", type=lambda text: Path(text).absolute())
    parser.add_argument("--new-python", type=lambda text: Path(text).absolute())
    parser.add_argument("--works", default=",".join(WORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--batches", type=int, default=5000, help="of the work `empty`")
    parser.add_argument("--actors", type=int, default=32, help="of the work `waiting`")
    parser.add_argument("--paths", type=int, default=1_000_000, help="of the work `first`")
    parser.add_argument("--serve", choices=WORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options)
        return
    options.old_python = options.old_python or options.old / ".venv/bin/python"
    options.new_python = options.new_python or options.new / ".venv/bin/python"
    for name in options.works.split(","):
        compare(name, options)


if __name__ == "__main__":
    main()
