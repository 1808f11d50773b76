"""The cost of faults: actors that are killed, a sample that kills them, and a slow actor.

usage: python -m tests.figures.faults kills [--seconds 60]
       python -m tests.figures.faults deadly
       python -m tests.figures.faults slow [--rounds 3]
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import tempfile
import threading
import time
from typing import Any

import numpy as np
import psutil
import ray

import raybatch as rb
from tests.drivers import actor_processes, store_bytes

BATCH_SIZE = 8


class Rows:
    """An array-like whose batches take `seconds`, but 50 times as long in one process.

    The file `slow_pid` holds the id of that process.
    """

    def __init__(self, length: int, seconds: float, slow_pid: str = "") -> None:
        self.length, self.seconds, self.slow_pid = length, seconds, slow_pid

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        is_slow = False
        if self.slow_pid and os.path.exists(self.slow_pid):
            with open(self.slow_pid) as file:
                is_slow = file.read() == str(os.getpid())
        time.sleep(self.seconds * (50 if is_slow else 1))
        return np.repeat(np.asarray(index)[:, None], 20_000, axis=1)


def kills(seconds: float) -> None:
    """Kill one of four actors every half second; print progress and resources, check the digest."""
    source = rb.ArrayDataSource([Rows(80_000, 0.02)])
    serial = rb.ArrayDataSource([Rows(80_000, 0.0)])
    killed, done, choice = 0, threading.Event(), random.Random(1)

    def kill_some() -> None:
        nonlocal killed
        while not done.wait(0.5):
            if actors := actor_processes():
                choice.choice(actors).kill()
                killed += 1

    killer = threading.Thread(target=kill_some)
    recovery = rb.Recovery(max_attempts=20)
    with rb.RayActorPool(4) as pool:
        with rb.Loader(source, BATCH_SIZE, shuffle=3, pool=pool, recovery=recovery) as loader:
            pool.wait_until_up()
            killer.start()
            start = time.monotonic()
            report_at = start + 10
            batches = 0
            longest, before = 0.0, start

            def watched() -> Any:
                nonlocal batches, report_at, longest, before
                for batch in loader:
                    now = time.monotonic()
                    longest, before = max(longest, now - before), now
                    batches += 1
                    yield batch
                    if now >= report_at:
                        report_at += 10
                        report(now - start, killed, batches)
                    if now >= start + seconds:
                        return

            pooled = rb.stream_digest(watched())
            done.set()
            killer.join()
    expected = iter(rb.Loader(serial, BATCH_SIZE, shuffle=3))
    alone = rb.stream_digest(next(expected) for _ in range(batches))
    print(f"{killed} killed, {batches} batches, longest wait {longest:.2f} s")
    print("digest equal to the serial one" if pooled == alone else "DIGESTS DIFFER")


def report(seconds: float, killed: int, batches: int) -> None:
    me = psutil.Process()
    print(
        f"{seconds:3.0f} s: {killed} killed, {batches} batches, "
        f"{len(me.children(recursive=True))} processes, store {store_bytes() / 1e6:.1f} MB, "
        f"driver {me.memory_full_info().uss / 1e6:.0f} MB of its own, {me.num_threads()} threads"
    )


class Deadly(Rows):
    """Rows, one of which leaves a file in `graves` and aborts the process that reads it."""

    def __init__(self, length: int, deadly: int, graves: str) -> None:
        super().__init__(length, 0.0)
        self.deadly, self.graves = deadly, graves

    def __getitem__(self, index: Any) -> Any:
        if self.deadly in index:
            with open(os.path.join(self.graves, str(os.getpid())), "w"):
                os.abort()
        return super().__getitem__(index)


def deadly() -> None:
    """Load 4,000 samples, one of them deadly; print the bad samples and how many workers died."""
    with tempfile.TemporaryDirectory() as graves, rb.RayActorPool(4) as pool:
        source = rb.ArrayDataSource([Deadly(4000, 1234, graves)])
        with rb.Loader(source, 64, shuffle=3, pool=pool, bad_samples="skip") as loader:
            samples = sum(len(rows) for (rows,) in loader)
            found = [bad.index for bad in loader.bad_samples]
            print(f"{samples} samples, bad: {found}, {len(os.listdir(graves))} workers died")


def slow(rounds: int) -> None:
    """Print the time of an epoch with a fourth, 50 times slower actor, relative to three actors."""
    ratios = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pid")
            with_slow, without = epoch_seconds(4, path), epoch_seconds(3, "")
        ratios.append(with_slow / without)
        print(f"with it {with_slow:.2f} s, without it {without:.2f} s, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}")


def epoch_seconds(actors: int, slow_pid: str) -> float:
    source = rb.ArrayDataSource([Rows(BATCH_SIZE * 500, 0.05, slow_pid)])
    with rb.RayActorPool(actors) as pool, rb.Loader(source, BATCH_SIZE, pool=pool) as loader:
        pool.wait_until_up()
        if slow_pid:
            with open(slow_pid, "w") as file:
                file.write(str(actor_processes()[0].pid))
        start = time.monotonic()
        for _ in loader:
            pass
        return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["kills", "deadly", "slow"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    logging.disable(logging.WARNING)
    if arguments.what == "kills":
        kills(arguments.seconds)
    elif arguments.what == "deadly":
        deadly()
    else:
        slow(arguments.rounds)
    ray.shutdown()


if __name__ == "__main__":
    main()
