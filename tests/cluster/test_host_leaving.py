"""Hosts that are replaced during an epoch: all of them in turn, or one after notice to Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.hosts import Host
from tests.cluster.host_loading import Loading, given_hosts, loading
from tests.cluster.soak import actors_on
from tests.drivers import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def until_it_works(loads: Loading, host: Host) -> None:
    wait_for(lambda: loads.made_by(host) > 0, "the new host makes batches", 60)


def test_all_worker_hosts_are_restarted_during_an_epoch(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.touch()  # so that the epoch lasts until all hosts are replaced
    with given_hosts() as hosts, loading(hosts, tmp_path, None, num_batches=2000) as loads:
        old = list(hosts.workers)
        loads.driver.go_on()
        for host in old:
            until_it_works(loads, hosts.add())
            host.kill()
        slow.unlink()
        said = loads.end_of_epoch()
        assert float(said["longest"]) < 5.0
        assert not any(loads.made_by(host) for host in old)


@pytest.mark.parametrize("name", [None, "shared"])
def test_no_batch_is_made_again_where_a_host_leaves_with_notice(
    name: str | None, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    slow.touch()
    with given_hosts() as hosts, loading(hosts, tmp_path, None, 1000, name) as loads:
        leaving, staying = hosts.workers
        added = hosts.add()
        loads.driver.go_on()
        hosts.drain(leaving)
        wait_for(lambda: not list(actors_on(leaving)), "its actors are let go of", 30)
        leaving.kill()
        until_it_works(loads, added)
        slow.unlink()
        said = loads.end_of_epoch()
        assert said["again"] == "0"
        assert float(said["longest"]) < 2.0
        assert loads.made_by(staying) > 100
