"""Loading across hosts that are killed, cut off, healed and added: network namespaces, each with a Ray node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

import raybatch as rb
from cluster.hosts import CannotMakeHosts, Host, Hosts
from tests.drivers import PREAMBLE, Driver

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PROGRAM = """
pool = rb.RayActorPool(NUM_ACTORS, address=sys.argv[1])
with pool, rb.Loader(source, 5, shuffle=3, pool=pool) as loader:
    pool.wait_until_up()
    batches, longest, start = [], 0.0, None
    for batch in loader:
        if start is not None:
            longest = max(longest, time.monotonic() - start)
        batches.append(batch)
        if len(batches) == 20:
            say(batches=20)
            input()
        start = time.monotonic()
    say(digest=rb.stream_digest(batches), longest=longest)
    input()
"""


class Rows:
    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(index)[:, None], 1250, axis=1)


def expected() -> str:
    return rb.stream_digest(rb.Loader(rb.ArrayDataSource([Rows()]), 5, shuffle=3))


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    try:
        made = Hosts(workers=2, cpus=2)
    except CannotMakeHosts as error:
        pytest.skip(str(error))
    with made:
        yield made


def load(hosts: Hosts, num_actors: int = 2) -> Driver:
    program = PREAMBLE + PROGRAM.replace("NUM_ACTORS", str(num_actors))
    process = hosts.head.start(
        [sys.executable, "-c", program, hosts.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return Driver(process)


def actors_on(host: Host) -> list[int]:
    def is_actor(pid: int) -> bool:
        try:
            return "BatchWorker" in " ".join(psutil.Process(pid).cmdline())
        except psutil.NoSuchProcess:
            return False

    return [pid for pid in host.pids() if is_actor(pid)]


def test_both_hosts_make_the_batches_and_nothing_is_left(hosts: Hosts) -> None:
    with load(hosts) as driver:
        assert driver.listen() == {"batches": "20"}
        assert [len(actors_on(host)) for host in hosts.workers] == [1, 1]
        driver.go_on()
        assert driver.listen()["digest"] == expected()
    hosts.close()
    assert hosts.name not in subprocess.check_output(["ip", "netns", "list"], text=True)
    assert hosts.name not in subprocess.check_output(["ip", "link", "show"], text=True)


@pytest.mark.parametrize("fault", ["kill", "cut_off"])
def test_a_host_that_goes_holds_up_the_consumer_for_moments(hosts: Hosts, fault: str) -> None:
    with load(hosts) as driver:
        driver.listen()
        getattr(hosts.workers[0], fault)()
        driver.go_on()
        said = driver.listen()
        assert said["digest"] == expected()
        assert float(said["longest"]) < 3


def test_a_host_that_heals_works_again(hosts: Hosts) -> None:
    with load(hosts) as driver:
        driver.listen()
        hosts.workers[0].cut_off()
        driver.go_on()
        said = driver.listen()
        assert said["digest"] == expected()
        assert float(said["longest"]) < 3
        hosts.workers[0].heal()
        driver.go_on()
        driver.process.wait(30)
    # Ray has not given the host up, and the next program uses it.
    with load(hosts) as driver:
        driver.listen()
        assert [len(actors_on(host)) for host in hosts.workers] == [1, 1]
        driver.go_on()
        assert driver.listen()["digest"] == expected()


def test_an_added_host_serves_the_next_program(hosts: Hosts) -> None:
    hosts.workers[0].kill()
    hosts.workers[1].kill()
    added = hosts.add()
    with load(hosts) as driver:
        driver.listen()
        assert len(actors_on(added)) == 2
        driver.go_on()
        assert driver.listen()["digest"] == expected()


def test_without_the_program_ip_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotMakeHosts, match="iproute2"):
        Hosts()


def test_without_the_rights_the_error_says_so() -> None:
    dropping = ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"]
    command = [*dropping, sys.executable, "-m", "cluster.hosts"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "it takes root" in done.stderr
