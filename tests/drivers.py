"""Programs in a process of their own, and what processes and memory are left behind."""

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


# How often `wait_for` looks.
LOOK_EVERY_S = 0.02


@dataclass
class Driver:
    """A running program that begins with `PREAMBLE`; leaving the `with` ends it."""

    process: subprocess.Popen[str]
    seen: list[psutil.Process] = field(default_factory=list)

    def listen(self) -> dict[str, str]:
        """Wait for what the program says next."""
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
        """The live processes below the program's."""
        self.seen = alive(psutil.Process(self.process.pid).children(recursive=True))
        return self.seen

    def actors(self) -> list[psutil.Process]:
        """The live raybatch actors below the program's process."""
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
        # Agents of a Ray whose driver was killed live on for a while.
        for child in alive(self.seen):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended just now
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
    """Wait until `condition` holds.

    A machine that stands still meanwhile, or is busy, has as many looks at it.
    """
    for _ in range(math.ceil(timeout_s / LOOK_EVERY_S)):
        if condition():
            return
        time.sleep(LOOK_EVERY_S)
    raise AssertionError(f"{what}: not within {timeout_s} s")


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if _status(process) not in (None, "zombie")]


def actor_processes() -> list[psutil.Process]:
    """The live raybatch actors below this process."""
    return [child for child in alive(psutil.Process().children(recursive=True)) if is_actor(child)]


def an_actor() -> psutil.Process:
    """Return one of the actors, when the system's list of processes has one.

    Now and then a look at it misses some.
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
    """How much of this process's object store is in use, as Ray last reported it."""
    total, free = ray.cluster_resources(), ray.available_resources()
    used: float = total["object_store_memory"] - free.get("object_store_memory", 0.0)
    return used


def _status(process: psutil.Process) -> str | None:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return None
