"""Programs on a cluster whose hosts lack code, data or raybatch, and the ways to start them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import raybatch as rb
from cluster.hosts import Host, Hosts
from tests.cluster.host_loading import given_hosts, program_on
from tests.drivers import Driver

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PACKAGE = Path(rb.__file__).parent
OTHER_VERSION = "9.9.9"

# A project of two modules: the program, and `rows`, which the workers need too.
TRAIN = """
import json, os, sys
import raybatch as rb
from rows import Rows

label, address = sys.argv[1:] if len(sys.argv) > 1 else (None, os.environ["RAY_ADDRESS"])
placing = {} if label is None else {"label_selector": {"lacks": label}}
with rb.RayActorPool(1, address=address, start_timeout_s=30, **placing) as pool:
    with rb.Loader(rb.ArrayDataSource([Rows()]), 5, pool=pool) as loader:
        print("ROWS", sum(len(batch[0]) for batch in loader))
"""
ROWS = """
import numpy as np

class Rows:
    def __len__(self): return 30
    def __getitem__(self, index): return np.asarray(index)
"""


@dataclass(frozen=True)
class Cluster:
    """Hosts that each lack one thing, and the folder `project`, which one host does not see.

    `lacks` maps the name of each thing to the host that lacks it.
    """

    hosts: Hosts
    project: Path
    lacks: dict[str, Host]


@pytest.fixture(scope="module")
def cluster(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("programs")
    project, nothing, other = folder / "project", folder / "nothing", folder / "raybatch"
    project.mkdir()
    nothing.mkdir()
    (project / "train.py").write_text(TRAIN)
    (project / "rows.py").write_text(ROWS)
    shutil.copytree(PACKAGE, other, ignore=shutil.ignore_patterns("__pycache__"))
    face = other / "__init__.py"
    face.write_text(face.read_text().replace(f'"{rb.__version__}"', f'"{OTHER_VERSION}"'))
    images = str(Path(photos[0]).parent)
    seeing = {
        "nothing": {},
        "code_and_data": {str(project): str(nothing), images: str(nothing)},
        "raybatch": {str(PACKAGE): str(nothing)},
        "this_version": {str(PACKAGE): str(other)},
    }
    with given_hosts(workers=0, dashboard=True) as hosts:
        lacks = {
            name: hosts.start(1, labels={"lacks": name}, seeing=there)
            for name, there in seeing.items()
        }
        hosts.wait_for(*lacks.values())
        yield Cluster(hosts, project, lacks)


def run(cluster: Cluster, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the head."""
    process = cluster.hosts.head.start(
        list(command), cwd=cluster.project, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, error = process.communicate(timeout=150)
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def train(cluster: Cluster, lacks: str) -> subprocess.CompletedProcess[str]:
    return run(cluster, sys.executable, "train.py", lacks, cluster.hosts.address)


def test_a_program_runs_where_the_workers_have_its_code(cluster: Cluster) -> None:
    assert "ROWS 30" in train(cluster, "nothing").stdout


def test_code_that_is_not_installed_on_the_workers(cluster: Cluster) -> None:
    done = train(cluster, "code_and_data")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"the worker on host {cluster.lacks['code_and_data'].ip} cannot load the source" in last
    assert "No module named 'rows'" in last
    assert "ray job submit --working-dir" in last
    assert "runtime_env" in last


def test_a_job_brings_its_code_along(cluster: Cluster) -> None:
    # The actor runs on the host that does not see the project's folder.
    environment = {"env_vars": {"PYTHONDONTWRITEBYTECODE": "1"}}
    done = run(
        cluster,
        *(sys.executable, "-m", "ray.scripts.scripts", "job", "submit"),
        *("--address", f"http://{cluster.hosts.head.ip}:8265", "--working-dir", "."),
        *("--runtime-env-json", json.dumps(environment)),
        *("--", sys.executable, "train.py", "code_and_data", "auto"),
    )
    assert "ROWS 30" in done.stdout + done.stderr
    assert done.returncode == 0


def test_a_host_without_raybatch_is_named(cluster: Cluster) -> None:
    done = train(cluster, "raybatch")
    last = done.stderr.strip().splitlines()[-1]
    assert "PoolError" in last
    assert cluster.lacks["raybatch"].ip in last
    assert "No module named 'raybatch" in last
    assert "Install that code on every host" in last


def test_the_doctor_names_hosts_without_this_raybatch(cluster: Cluster) -> None:
    doctor = (sys.executable, "-m", "raybatch", "doctor", "--address", cluster.hosts.address)
    found = {one["check"]: one for one in json.loads(run(cluster, *doctor, "--json").stdout)}
    seen = found["version of raybatch"]["seen"]
    assert f"{cluster.lacks['raybatch'].ip}: not installed" in seen
    assert f"{cluster.lacks['this_version'].ip}: {OTHER_VERSION}" in seen


def test_a_host_with_another_raybatch_is_named(cluster: Cluster) -> None:
    done = train(cluster, "this_version")
    last = done.stderr.strip().splitlines()[-1]
    host = cluster.lacks["this_version"].ip
    assert (
        f"host {host} has raybatch {OTHER_VERSION}, but this process has {rb.__version__}" in last
    )


def test_a_program_with_another_ray_is_told_both_versions(cluster: Cluster) -> None:
    program = (
        "import ray; ray.__version__ = '2.0.0'; rb.RayActorPool(1,"
        f" address={cluster.hosts.address!r})"
    )
    done = run(cluster, sys.executable, "-c", f"import raybatch as rb; {program}")
    last = done.stderr.strip()
    assert "PoolError: cannot connect to Ray" in last
    assert "Ray: 2.0.0" in last


def test_the_command_line_joins_the_cluster_of_its_host(
    cluster: Cluster, photos: list[str]
) -> None:
    folder = str(Path(photos[0]).parent)
    command = (sys.executable, "-m", "raybatch", "load", folder, "--size", "8", "--json")
    where = ("--address", "auto", "--label", "lacks=nothing")
    done = run(cluster, *command, *where)
    serial = run(cluster, *command, "--actors", "0")
    assert [each.returncode for each in (done, serial)] == [0, 0], done.stderr + serial.stderr
    digests = [json.loads(each.stdout)["epochs"][0]["digest"] for each in (done, serial)]
    assert digests[0] == digests[1]


# Loads the photographs and one missing path, with and without the host that sees no photographs.
IMAGES = """
paths = sorted(glob.glob(sys.argv[2] + "/*.jpg")) + [sys.argv[2] + "/gone.jpg"]
source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (8, 8))])
for label, policy in (("nothing", "skip"), ("in(nothing, code_and_data)", "skip"), ("code_and_data", "raise")):
    with rb.RayActorPool(address=sys.argv[1], label_selector={"lacks": label}) as pool:
        pool.wait_until_up()
        with rb.Loader(source, 4, shuffle=1, pool=pool, bad_samples=policy) as loader:
            try:
                rows = sum(len(batch[0]) for batch in loader)
                say(rows=rows, bad=len(loader.bad_samples))
            except rb.errors.BatchError as error:
                hosts = ",".join(error.__cause__.hosts)
                say(hosts=hosts, error=type(error.__cause__).__name__, text=str(error).replace(" ", "_"))
"""


def test_a_path_that_is_missing_on_a_host_is_not_a_bad_sample(
    cluster: Cluster, photos: list[str]
) -> None:
    folder = str(Path(photos[0]).parent)
    program = "import glob\n" + IMAGES
    with program_on(cluster.hosts.head, program, cluster.hosts.address, folder) as driver:
        assert driver.listen() == {"rows": str(len(photos)), "bad": "1"}
        for _ in range(2):
            names_the_host(driver, cluster.lacks["code_and_data"], folder)


def names_the_host(driver: Driver, host: Host, folder: str) -> None:
    said = driver.listen()
    assert said["hosts"] == host.ip
    assert said["error"] == "HostError"
    assert folder in said["text"]
    assert "can_be_read_in_this_process,_but_not_everywhere" in said["text"]
    assert "the_folder_of_the_samples_is_empty" in said["text"]
    assert "Mount_or_copy_the_data_on_every_host" in said["text"]
