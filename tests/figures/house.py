"""Seconds that two versions of raybatch take for the same work, measured in turns on one machine.

usage: python -m tests.figures.house OLD NEW [--dir PHOTOGRAPHS] [--rounds 9] [--part 1.0]
                                             [--work stretch,empty,waiting,first,start]
                                             [--python PYTHON]

OLD and NEW are checkouts. Each needs a `.venv`, unless --python names an interpreter for both.

    stretch   photographs to 224×224 in batches of 64, through two Ray actors
    empty     batches of indices only, through two Ray actors
    waiting   rows that wait 50 ms, through 32 Ray actors
    first     from a new loader of 100,000 paths to its first batch, on a running pool
    start     from a new program to its first batch: imports, Ray and two actors

For each kind of work, each version has one process, and the two take turns in going first. A ratio
below 1 means that the new version is faster. Without --dir, the images are noise, about as large
as photographs. `--part 0.02` makes a quick trial.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ray
from PIL import Image

import raybatch as rb

EDGE = (224, 224)
WAIT_S = 0.05
PHOTOGRAPHS = 512


class Indices:
    """An array-like that returns the indices of a batch, after `wait_s`."""

    def __init__(self, length: int, wait_s: float = 0) -> None:
        self.length, self.wait_s = length, wait_s

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if self.wait_s:
            time.sleep(self.wait_s)
        return index


def where() -> str:
    import raybatch

    return str(raybatch.__file__)


@contextlib.contextmanager
def ray_pool(actors: int) -> Iterator[rb.RayActorPool]:
    """Start Ray, and yield a pool of `actors` that have the same raybatch as this process."""
    ray.init(
        address="local",
        num_cpus=actors + 1,
        object_store_memory=10**9,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    remote: Any = ray.remote(where)
    assert ray.get(remote.remote()) == where(), "Ray's workers have another raybatch"
    with rb.RayActorPool(actors, start_timeout_s=300).wait_until_up() as pool:
        yield pool
    ray.shutdown()


def epochs_s(loader: rb.Loader, epochs: int) -> float:
    """Return the seconds of several epochs, with no batch made before they begin."""
    began = time.perf_counter()
    for _ in range(epochs):
        collections.deque(loader, maxlen=0)
    seconds = time.perf_counter() - began
    loader.set_epoch(loader.epoch + 1)
    settle()
    return seconds


def settle() -> None:
    """Wait until the actors have finished the batches that they make ahead, and are idle."""
    time.sleep(1)


def stretch(paths: list[str], part: float) -> Iterator[float]:
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, EDGE)])
    epochs = max(1, round(part * 4 * PHOTOGRAPHS / len(paths)))
    with ray_pool(2) as pool, rb.Loader(source, 64, shuffle=0, pool=pool) as loader:
        while True:
            yield epochs_s(loader, epochs)


def empty(_paths: list[str], part: float) -> Iterator[float]:
    source = rb.ArrayDataSource([Indices(64 * max(1, round(part * 3000)))])
    with ray_pool(2) as pool, rb.Loader(source, 64, pool=pool) as loader:
        while True:
            yield epochs_s(loader, 1)


def waiting(_paths: list[str], part: float) -> Iterator[float]:
    actors = 32
    source = rb.ArrayDataSource([Indices(actors * max(5, round(part * 60)), WAIT_S)])
    with ray_pool(actors) as pool:
        while True:
            with rb.Loader(source, 1, pool=pool) as loader:
                stream = iter(loader)
                for _ in range(4 * actors):  # until all actors are at work
                    next(stream)
                began = time.perf_counter()
                collections.deque(stream, maxlen=0)
                seconds = time.perf_counter() - began
            settle()
            yield seconds


def first(paths: list[str], part: float) -> Iterator[float]:
    order = np.random.default_rng(0).integers(0, len(paths), max(64, round(part * 100_000)))
    many = [paths[index] for index in order]
    with ray_pool(2) as pool:
        while True:
            source = rb.ArrayDataSource([rb.ImageFileAccessor(many, EDGE)])
            began = time.perf_counter()
            with rb.Loader(source, 64, shuffle=0, pool=pool) as loader:
                next(iter(loader))
                seconds = time.perf_counter() - began
            settle()
            yield seconds


START = """
import sys
import raybatch as rb
source = rb.ArrayDataSource([rb.ImageFileAccessor(sys.stdin.read().splitlines(), (224, 224))])
with rb.Loader(source, 16, shuffle=0, pool=rb.RayActorPool(2)) as loader:
    next(iter(loader))
    print("first batch", flush=True)
"""


def start(paths: list[str], _part: float) -> Iterator[float]:
    while True:
        began = time.perf_counter()
        with python(sys.executable, "-c", START) as program:
            assert program.stdin is not None
            program.stdin.write("\n".join(paths))
            program.stdin.close()
            hear(program, "first")
            seconds = time.perf_counter() - began
        settle()
        yield seconds


WORKS: dict[str, Callable[[list[str], float], Iterator[float]]] = {
    "stretch": stretch,
    "empty": empty,
    "waiting": waiting,
    "first": first,
    "start": start,
}


def python(*command: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )


def hear(program: subprocess.Popen[str], name: str) -> str:
    """Return the rest of the next line of `program` that begins with `name`; skip other lines."""
    assert program.stdout is not None
    for line in program.stdout:
        if line.startswith(f"{name} "):
            return line.removeprefix(f"{name} ").strip()
    raise RuntimeError(f"{program.args!r} ended")


def serve(work: str, folder: Path, part: float) -> None:
    """Do the work once for each line of the standard input, and print how many seconds it took."""
    print("from", where(), flush=True)
    paths = sorted(str(path) for path in folder.rglob("*.jpg"))
    rounds = WORKS[work](paths, part)
    for _ in sys.stdin:
        print("seconds", next(rounds), flush=True)
    rounds.close()  # type: ignore[attr-defined]


class Version:
    """The process of one of the two versions, for one kind of work."""

    def __init__(self, checkout: Path, interpreter: Path, work: str, options: list[str]) -> None:
        self.program = python(
            str(interpreter),
            str(Path(__file__).resolve()),
            "--serve",
            work,
            *options,
            env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"},
            cwd=checkout,
        )
        used = hear(self.program, "from")
        assert Path(used).is_relative_to(checkout), f"{interpreter} has {used}, not {checkout}"

    def seconds(self) -> float:
        assert self.program.stdin is not None
        self.program.stdin.write("go\n")
        self.program.stdin.flush()
        return float(hear(self.program, "seconds"))

    def close(self) -> None:
        """End the process and its Ray."""
        self.program.communicate()


def compare(work: str, versions: list[Version], rounds: int) -> float:
    """Print the seconds of each round and their medians.

    Return the median of the ratios new/old.
    """
    for version in versions:
        version.seconds()
    measured: list[list[float]] = [[], []]
    ratios = []
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            measured[which].append(versions[which].seconds())
        old, new = (seconds[-1] for seconds in measured)
        ratios.append(new / old)
        print(f"{work:8} old {old:7.3f} s   new {new:7.3f} s   ratio {ratios[-1]:.3f}", flush=True)
    old, new = map(statistics.median, measured)
    median = statistics.median(ratios)
    print(f"{work:8} old {old:7.3f} s   new {new:7.3f} s   median ratio {median:.3f}", flush=True)
    return median


def make_photographs(folder: Path, count: int) -> None:
    """Write JPEGs of seeded noise, about as large as photographs of 470×422 pixels."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (27, 30, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((470, 422), Image.Resampling.BICUBIC), np.int16)
        noisy = pixels + rng.integers(-12, 13, pixels.shape, dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:04}.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", type=Path, nargs="*", metavar="OLD NEW")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--work", default=",".join(WORKS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--part", type=float, default=1.0)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--serve", choices=WORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.dir, arguments.part)
        return
    if len(arguments.checkouts) != 2:
        parser.error("give two checkouts: OLD NEW")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.dir and arguments.dir.resolve()
        if folder is None:
            folder = Path(temporary)
            make_photographs(folder, max(64, round(arguments.part * PHOTOGRAPHS)))
        options = ["--dir", str(folder), "--part", str(arguments.part)]
        medians = {}
        for work in arguments.work.split(","):
            with contextlib.ExitStack() as stack:
                versions = []
                for checkout in map(Path.resolve, arguments.checkouts):
                    interpreter = arguments.python or checkout / ".venv/bin/python"
                    versions.append(Version(checkout, interpreter, work, options))
                    stack.callback(versions[-1].close)
                medians[work] = compare(work, versions, arguments.rounds)
    print("new/old:  " + "   ".join(f"{work} {ratio:.3f}" for work, ratio in medians.items()))


if __name__ == "__main__":
    main()
