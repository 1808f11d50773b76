"""Hosts that are replaced while an epoch runs: all of them one after the other, and with notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drivers import wait_for
from tests.host_loading import given_hosts, loading
from tests.soak import actors_on

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def test_all_worker_hosts_are_restarted_during_an_epoch(tmp_path: Path) -> None:
    with given_hosts() as hosts, loading(hosts, tmp_path, None, num_batches=6000) as loads:
        old = list(hosts.workers)
        loads.driver.go_on()
        for host in old:
            added = hosts.add()
            wait_for(lambda host=added: loads.made_by(host) > 0, "the new host works", 30)  # type: ignore[misc]
            host.kill()
        said = loads.end_of_epoch()
        assert float(said["longest"]) < 5.0
        assert all(loads.made_by(host) for host in hosts.workers[-2:])


def test_no_batch_is_made_again_where_a_host_leaves_with_notice(tmp_path: Path) -> None:
    with given_hosts() as hosts, loading(hosts, tmp_path, None, num_batches=600) as loads:
        leaving, staying = hosts.workers
        loads.driver.go_on()
        hosts.drain(leaving)
        wait_for(lambda: not list(actors_on(leaving)), "its actors are let go of", 30)
        leaving.kill()
        said = loads.end_of_epoch()
        assert said["again"] == "0"
        assert float(said["longest"]) < 1.0
        assert loads.made_by(staying) > 300
