"""Ranks on different hosts get equal shares of one pool, and survive the loss of other ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

import raybatch as rb
from cluster.hosts import Host, Hosts
from tests.cluster.host_loading import given_hosts, program_on
from tests.drivers import Driver

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

# One rank. Once all ranks are at work, it reports how many batches it gets in five seconds.
PROGRAM = """
import ray

class Waiting:
    def __len__(self): return int(sys.argv[5])
    def __getitem__(self, index):
        time.sleep(0.05)
        return np.asarray(index)

rank, world_size, prefetch = map(int, sys.argv[2:5])
ray.init(address=sys.argv[1], _node_ip_address=sys.argv[6], log_to_driver=False)
pool = rb.RayActorPool(NUM_ACTORS, name="shared", resources={"loader": 0.001})
prefetch = rb.Prefetch(prefetch) if prefetch else None
split = rb.RankSplit(rank, world_size)
source = rb.ArrayDataSource([Waiting()])
with pool, rb.Loader(source, 1, shuffle=5, split=split, pool=pool, prefetch=prefetch) as loader:
    pool.wait_until_up()
    say(up=1)
    input()
    stream = iter(loader)
    rows = [int(batch[0][0]) for batch in (next(stream) for _ in range(20))]
    say(twenty=1)
    input()
    began = time.monotonic()
    for batch in stream:
        rows.append(int(batch[0][0]))
        if began and time.monotonic() - began > 5:
            say(batches=len(rows) - 20)
            began = None
    say(rows=",".join(map(str, rows)))
"""
NUM_ACTORS = 4


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Four hosts; only the first two have room for actors."""
    with given_hosts(workers=0) as made:
        for number in range(4):
            made.start(2 * (number < 2), resources={"loader": 1} if number < 2 else None)
        made.wait_for(*made.workers)
        yield made


@contextlib.contextmanager
def ranks(hosts: Hosts, places: list[Host], rows: int, prefetch: int = 0) -> Iterator[list[Driver]]:
    """Run a rank on each host of `places`, and yield the programs once all are at work.

    The first rank's window is `prefetch` batches, or the default if that is 0.
    """
    program = PROGRAM.replace("NUM_ACTORS", str(NUM_ACTORS))
    with contextlib.ExitStack() as stack:
        drivers = []
        for rank, host in enumerate(places):
            own = 0 if rank else prefetch
            arguments = [hosts.address, *map(str, (rank, len(places), own, rows, host.ip))]
            drivers.append(stack.enter_context(program_on(host, program, *arguments)))
        for _ in range(2):  # first all pools are up, then all ranks are at work
            for driver in drivers:
                driver.listen()
            for driver in drivers:
                driver.go_on()
        yield drivers


def serial(rank: int, world_size: int, rows: int) -> list[int]:
    source = rb.ArrayDataSource([np.arange(rows)])
    split = rb.RankSplit(rank, world_size)
    return [int(batch[0]) for (batch,) in rb.Loader(source, 1, shuffle=5, split=split)]


@pytest.mark.parametrize(("world_size", "prefetch"), [(2, 0), (2, 200), (4, 0)])
def test_ranks_on_different_hosts_get_equal_shares(
    hosts: Hosts, world_size: int, prefetch: int
) -> None:
    rows = 600
    with ranks(hosts, hosts.workers[:world_size], rows, prefetch) as drivers:
        got = [int(driver.listen()["batches"]) for driver in drivers]
        streams = [list(map(int, driver.listen()["rows"].split(","))) for driver in drivers]
    fair = sum(got) / world_size
    assert all(0.8 * fair < each < 1.2 * fair for each in got)
    assert streams == [serial(rank, world_size, rows) for rank in range(world_size)]


def test_a_rank_whose_host_goes_does_not_stop_the_others(hosts: Hosts) -> None:
    # The rank on the first of these hosts starts first, so normally it makes the pool.
    places = [hosts.workers[3], hosts.workers[2], hosts.workers[0]]
    with ranks(hosts, places, 1500) as drivers:
        places[0].kill()
        drivers[1].process.kill()
        drivers[2].listen()
        rows = list(map(int, drivers[2].listen()["rows"].split(",")))
    assert rows == serial(2, 3, 1500)
