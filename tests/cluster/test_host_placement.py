"""The hosts that actors run on, chosen by label, resource or strategy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import raybatch as rb
from cluster.hosts import Host, Hosts
from raybatch.cli import main
from raybatch.pools.ray.hosts import is_selected
from tests.cluster.host_loading import given_hosts, program_on

pytestmark = pytest.mark.timeout(240)

# Each row is the last number of the address of the host that made it.
PROGRAM = """
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

class Where:
    def __len__(self): return 40
    def __getitem__(self, index):
        time.sleep(0.02)
        return np.full(len(index), int(ray.util.get_node_ip_address().rpartition(".")[2]))

ray.init(address=sys.argv[1], log_to_driver=False)
nodes = {node["NodeManagerAddress"]: node["NodeID"] for node in ray.nodes()}
here = ray.get_runtime_context().get_node_id()
for line in sys.stdin:
    with rb.RayActorPool(**eval(line)) as pool:
        pool.wait_until_up()
        with rb.Loader(rb.ArrayDataSource([Where()]), 1, pool=pool) as loader:
            rows = [int(row) for (batch,) in loader for row in batch]
        say(actors=pool.num_actors, rows=str(rows).replace(" ", ""))
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with given_hosts(workers=0) as made:
        made.start(2, labels={"role": "loader"}, resources={"loader": 1})
        made.start(4, labels={"role": "trainer"})
        made.wait_for(*made.workers)
        yield made


def number_of(host: Host) -> int:
    return int(host.ip.rpartition(".")[2])


@pytest.mark.cluster
def test_actors_run_where_labels_resources_and_strategies_put_them(hosts: Hosts) -> None:
    loader, trainer = hosts.workers
    node = f"nodes[{trainer.ip!r}]"
    cases = {
        "dict(label_selector={'role': 'loader'})": (2, {loader}),
        "dict(label_selector={'role': '!loader'})": (4, {trainer}),
        "dict(label_selector={'role': 'in(loader, trainer)'})": (6, {loader, trainer}),
        "dict(label_selector={'ray.io/node-id': '!' + " + node + "})": (2, {loader}),
        "dict(resources={'loader': 0.001})": (2, {loader}),
        "dict(num_actors=3, scheduling_strategy=NodeAffinitySchedulingStrategy("
        + node
        + ", soft=False))": (3, {trainer}),
    }
    with program_on(hosts.head, PROGRAM, hosts.address) as driver:
        assert driver.process.stdin is not None
        for case, (actors, where) in cases.items():
            driver.process.stdin.write(case)
            driver.go_on()
            said = driver.listen()
            assert int(said["actors"]) == actors
            assert set(ast.literal_eval(said["rows"])) == {number_of(host) for host in where}
        # Without placement settings, four actors spread evenly over two hosts that have room.
        driver.process.stdin.write("dict(num_actors=4)")
        driver.go_on()
        rows = ast.literal_eval(driver.listen()["rows"])
        each = [rows.count(number_of(host)) for host in hosts.workers]
        assert sum(each) == 40
        assert min(each) >= 12


@pytest.mark.cluster
def test_the_command_line_places_actors_too(hosts: Hosts, photos: list[str]) -> None:
    folder = str(Path(photos[0]).parent)
    command = [sys.executable, "-m", "raybatch", "load", folder, "--size", "8", "--json"]
    placing = ["--address", hosts.address, "--label", "role=loader", "--resource", "loader=0.001"]
    made = hosts.head.start([*command, *placing], stdout=subprocess.PIPE)
    out, _ = made.communicate(timeout=120)
    (epoch,) = json.loads(out)["epochs"]
    serial = subprocess.check_output([*command, "--actors", "0"], text=True)
    assert epoch["digest"] == json.loads(serial)["epochs"][0]["digest"]


def test_where_no_host_has_the_label_the_error_says_so(ray_cluster: None) -> None:
    nowhere = {"role": "in(gone, lost)"}
    with rb.RayActorPool(1, label_selector=nowhere, start_timeout_s=1) as pool:
        with pytest.raises(rb.errors.PoolError, match=r"labels \{'role': 'in\(gone,lost\)'\}"):
            pool.wait_until_up()


def test_a_strategy_of_the_users_own_needs_a_number_of_actors(ray_cluster: None) -> None:
    with pytest.raises(ValueError, match="set num_actors with scheduling_strategy"):
        rb.RayActorPool(scheduling_strategy="DEFAULT")


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"label_selector": {"role": 3}}, TypeError),
        ({"resources": {"loader": 0}}, ValueError),
        ({"resources": {"loader": float("inf")}}, ValueError),
        ({"resources": {"CPU": 1}}, ValueError),
        ({"num_cpus_per_actor": -1}, ValueError),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    setting: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=str(next(iter(setting)))):
        rb.RayActorPool(1, **setting)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "role=a", "--label", "role=b"], "'role' is given more than once"),
        (["--label", "role"], "'role' is not NAME=VALUE"),
        (["--resource", "loader"], "'loader' is not NAME=AMOUNT"),
        (["--resource", "loader=inf"], "above 0"),
        (["--resource", "loader=x"], "above 0"),
        (["--actors", "0", "--label", "role=a"], "cannot be used with --address"),
    ],
)
def test_the_command_line_refuses_what_makes_no_sense(options: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["load", ".", *options])
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("option", "message"), [("--resource=CPU=1", "not 'CPU'"), ("--label=role=in(", "selector")]
)
def test_the_command_line_says_what_ray_cannot_be_asked_for(
    ray_cluster: None, photos: list[str], option: str, message: str
) -> None:
    folder = str(Path(photos[0]).parent)
    done = CliRunner().invoke(main, ["load", folder, option])
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("condition", "selected"),
    [
        ("loader", [True, False, False]),
        ("!loader", [False, True, True]),
        ("in(loader,spare)", [True, False, False]),
        ("in(spare,trainer)", [False, True, False]),
        ("!in(loader,trainer)", [False, False, True]),
    ],
)
def test_labels_are_selected_by_the_rules_of_ray(condition: str, selected: list[bool]) -> None:
    nodes = [{"role": "loader"}, {"role": "trainer"}, {"zone": "a"}]
    assert [is_selected(node, {"role": condition}) for node in nodes] == selected
