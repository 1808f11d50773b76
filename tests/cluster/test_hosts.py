"""Loading across hosts that are killed, cut off, healed and added, in network namespaces."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.hosts import CannotMakeHosts, Hosts
from tests.cluster.host_loading import given_hosts, loading

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

# The longest time that the consumer may wait when a host is lost.
MAX_WAIT_S = 3.0


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with given_hosts() as made:
        yield made


def test_both_hosts_make_the_batches_and_nothing_is_left(hosts: Hosts, tmp_path: Path) -> None:
    with loading(hosts, tmp_path) as loads:
        loads.rest_of_epoch()
        assert min(loads.made_by(host) for host in hosts.workers) > 50
    hosts.close()
    assert hosts.name not in subprocess.check_output(["ip", "netns", "list"], text=True)
    assert hosts.name not in subprocess.check_output(["ip", "link", "show"], text=True)


def test_a_killed_host_holds_up_the_consumer_for_moments(hosts: Hosts, tmp_path: Path) -> None:
    with loading(hosts, tmp_path) as loads:
        hosts.workers[0].kill()
        assert float(loads.rest_of_epoch()["longest"]) < MAX_WAIT_S


def test_a_host_that_is_cut_off_holds_up_the_consumer_for_moments(
    hosts: Hosts, tmp_path: Path
) -> None:
    with loading(hosts, tmp_path) as loads:
        hosts.workers[0].cut_off()
        assert float(loads.rest_of_epoch()["longest"]) < MAX_WAIT_S


def test_a_host_that_heals_works_again(hosts: Hosts, tmp_path: Path) -> None:
    with loading(hosts, tmp_path) as loads:
        hosts.workers[0].cut_off()
        assert float(loads.rest_of_epoch()["longest"]) < MAX_WAIT_S
        hosts.workers[0].heal()
        loads.until_it_makes_more(hosts.workers[0])


def test_the_pool_follows_hosts_that_join_and_leave(hosts: Hosts, tmp_path: Path) -> None:
    with loading(hosts, tmp_path, num_actors=None) as loads:
        added = hosts.add()
        assert loads.rest_of_epoch()["actors"] in ("4", "6")
        loads.until_it_makes_more(added)
        loads.next_epoch()
        added.kill()
        assert float(loads.rest_of_epoch()["longest"]) < MAX_WAIT_S
        # Ray takes some time to notice that a host is gone.
        deadline = time.monotonic() + 90
        actors = "6"
        while actors != "4":
            assert time.monotonic() < deadline, "the pool still counts on the host that was killed"
            loads.next_epoch()
            actors = loads.rest_of_epoch()["actors"]


def test_without_the_program_ip_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotMakeHosts, match="iproute2"):
        Hosts()


def test_without_the_rights_the_error_says_so() -> None:
    dropping = ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"]
    command = [*dropping, sys.executable, "-m", "cluster.hosts"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs root" in done.stderr
