"""A program that loads epoch after epoch on the head of some test hosts, and its reports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from cluster.hosts import CannotMakeHosts, Host, Hosts
from tests.drivers import PREAMBLE, Driver

# The program waits for a line of input after 20 batches and at the end of each epoch. `again`
# counts the batches that are made again. While the file `slow` exists, a batch takes ten times as
# long.
PROGRAM = """
import logging

class Again(logging.Handler):
    count = 0
    def emit(self, record): self.count += ": the batch is made again" in record.getMessage()

again = Again()
logging.getLogger("raybatch").addHandler(again)
logging.getLogger("raybatch").setLevel(logging.INFO)

class Noted:
    def __init__(self, folder): self.folder = folder
    def __len__(self): return 5 * NUM_BATCHES
    def __getitem__(self, index):
        with open(f"{self.folder}/{os.getpid()}", "a") as file: file.write(".")
        time.sleep(0.2 if os.path.exists(f"{self.folder}/slow") else 0.02)
        return np.repeat(np.asarray(index)[:, None], 1250, axis=1)

source = rb.ArrayDataSource([Noted(sys.argv[2])])
pool = rb.RayActorPool(NUM_ACTORS, address=sys.argv[1], name=NAME)
with pool, rb.Loader(source, 5, shuffle=3, pool=pool) as loader:
    pool.wait_until_up()
    while True:
        digest, longest, number = rb.data_source.StreamDigest(), 0.0, 0
        start = time.monotonic()
        for batch in loader:
            longest = max(longest, time.monotonic() - start)
            digest.update(batch)
            number += 1
            if number == 20:
                say(batches=20)
                input()
                longest = 0.0
            start = time.monotonic()
        say(digest=digest.hexdigest(), longest=longest, actors=pool.num_actors, again=again.count)
        input()
"""


class Rows:
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        return np.repeat(np.asarray(index)[:, None], 1250, axis=1)


def expected(epoch: int, num_batches: int) -> str:
    loader = rb.Loader(rb.ArrayDataSource([Rows(5 * num_batches)]), 5, shuffle=3)
    loader.set_epoch(epoch)
    return rb.stream_digest(loader)


@dataclass
class Loading:
    """The program on the head, and the number of batches that each host has made for it."""

    driver: Driver
    folder: Path
    num_batches: int
    epoch: int = 0

    def first_batches(self) -> None:
        assert self.driver.listen() == {"batches": "20"}

    def rest_of_epoch(self) -> dict[str, str]:
        """Let the epoch run to its end, check its digest, and return the program's report."""
        self.driver.go_on()
        return self.end_of_epoch()

    def end_of_epoch(self) -> dict[str, str]:
        """Wait for the end of the epoch, check its digest, and return the program's report."""
        said = self.driver.listen()
        assert said["digest"] == expected(self.epoch, self.num_batches)
        return said

    def next_epoch(self) -> None:
        self.driver.go_on()
        self.epoch += 1
        self.first_batches()

    def made_by(self, host: Host) -> int:
        """Return how many batches the live actors on `host` have begun."""
        files = [self.folder / str(pid) for pid in host.pids()]
        return sum(file.stat().st_size for file in files if file.exists())

    def until_it_makes_more(self, host: Host) -> None:
        """Load epochs until `host` has made another batch."""
        before, deadline = self.made_by(host), time.monotonic() + 60
        while self.made_by(host) == before:
            assert time.monotonic() < deadline, "it has not made a batch in 60 s"
            self.next_epoch()
            self.rest_of_epoch()


@contextmanager
def given_hosts(workers: int = 2, cpus: int = 2, *, dashboard: bool = False) -> Iterator[Hosts]:
    """Yield test hosts, or skip the test if this machine cannot make any."""
    try:
        made = Hosts(workers, cpus, dashboard=dashboard)
    except CannotMakeHosts as error:
        pytest.skip(str(error))
    with made:
        yield made


def program_on(host: Host, program: str, *arguments: str) -> Driver:
    """Start `PREAMBLE` followed by `program` on `host`."""
    process = host.start(
        [sys.executable, "-c", PREAMBLE + program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return Driver(process)


@contextmanager
def loading(
    hosts: Hosts,
    folder: Path,
    num_actors: int | None = 2,
    num_batches: int = 200,
    name: str | None = None,
) -> Iterator[Loading]:
    settings = {"NUM_ACTORS": num_actors, "NUM_BATCHES": num_batches, "NAME": name}
    program = PROGRAM
    for word, value in settings.items():
        program = program.replace(word, repr(value))
    with program_on(hosts.head, program, hosts.address, str(folder)) as driver:
        loads = Loading(driver, folder, num_batches)
        loads.first_batches()
        yield loads
