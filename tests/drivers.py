"""Programs in their own processes, and the processes and memory that they leave behind."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

import psutil
import ray

PREAMBLE = """
import os, sys, time
import numpy as np
import raybatch as rb

def say(**facts):
    print("SAY", *(f"{name}={value}" for name, value in facts.items()), flush=True)

class Rows:
    def __len__(self): return 1000
    def __getitem__(self, index):
        time.sleep(0.02)
        return np.repeat(np.asarray(index)[:, None], 1250, axis=1)

source = rb.ArrayDataSource([Rows()])
"""


# The time between two checks of `wait_for`.
LOOK_EVERY_S = 0.02


@dataclass
class Driver:
    """A running program that begins with `PREAMBLE`; leaving the `with` block kills it."""

    process: subprocess.Popen[str]
    seen: list[psutil.Process] = field(default_factory=list)

    def listen(self) -> dict[str, str]:
        """Wait for the program's next report, and return its facts."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("SAY "):
                return dict(fact.split("=", 1) for fact in line.split()[1:])
        raise AssertionError(f"the program said no more, and ended with {self.process.wait()}")

    def go_on(self) -> None:
        """Let a program that waits in `input()` continue."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def children(self) -> list[psutil.Process]:
        """Return the live descendants of the program's process."""
        self.seen = alive(psutil.Process(self.process.pid).children(recursive=True))
        return self.seen

    def actors(self) -> list[psutil.Process]:
        """Return the live raybatch actors below the program's process."""
        return [child for child in self.children() if is_actor(child)]

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.children()
        with self.process:
            self.process.kill()
        # Ray's agents live on for some time after a driver is killed.
        for child in alive(self.seen):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                child.kill()


def start(
    program: str,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    stderr: IO[str] | None = None,
) -> Driver:
    return Driver(
        subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=env,
        )
    )


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Wait until `condition` holds, or fail after about `timeout_s`.

    The limit is a number of checks, so a machine that pauses or is busy gets as many as any other.
    """
    for _ in range(math.ceil(timeout_s / LOOK_EVERY_S)):
        if condition():
            return
        time.sleep(LOOK_EVERY_S)
    raise AssertionError(f"{what}: not within {timeout_s} s")


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if _status(process) not in (None, "zombie")]


def actor_processes() -> list[psutil.Process]:
    """Return the live raybatch actors below this process."""
    return [child for child in alive(psutil.Process().children(recursive=True)) if is_actor(child)]


def an_actor() -> psutil.Process:
    """Return one of the actors of this process.

    The system's list of processes misses some now and then, so this function reads it repeatedly.
    """
    seen: list[psutil.Process] = []

    def look() -> bool:
        seen[:] = actor_processes()
        return bool(seen)

    wait_for(look, "an actor", 30)
    return seen[0]


def is_actor(process: psutil.Process) -> bool:
    try:
        return "BatchWorker" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def store_bytes() -> float:
    """Return how many bytes of this process's object store are in use, as Ray last reported."""
    total, free = ray.cluster_resources(), ray.available_resources()
    used: float = total["object_store_memory"] - free.get("object_store_memory", 0.0)
    return used


def _status(process: psutil.Process) -> str | None:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return None
