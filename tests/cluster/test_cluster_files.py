"""The files in cluster/ follow their schemas, ask for a token and agree with each other."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

import raybatch as rb
from cluster.train import train
from raybatch.bench.needs import BatchCosts, needs_for
from tests.cluster.kubernetes_fields import KINDS, check

# These two come with `pip install 'raybatch[test]'`.
kubernetes_validate = pytest.importorskip("kubernetes_validate")
yaml = pytest.importorskip("yaml")

KUBERNETES = "1.33"  # the version of the schemas
CLUSTER = Path(__file__).parents[2] / "cluster"
LAUNCHER = ["ray-cluster.yaml", "ray-cluster-aws.yaml", "ray-cluster-gcp.yaml"]
MANIFESTS = sorted(path.name for path in (CLUSTER / "kuberay").glob("*.yaml"))
# All text files in cluster/, except JSON.
TEXTS = {
    str(path.relative_to(CLUSTER)): path.read_text()
    for path in sorted(CLUSTER.rglob("*"))
    if path.is_file() and path.suffix not in (".pyc", ".json")
}
IMAGE = f"registry.example.com/raybatch:{rb.__version__}"
TOKEN = re.compile(r"\b[0-9a-f]{32,}\b|[A-Za-z0-9+/]{60,}=*|BEGIN [A-Z ]*PRIVATE KEY")


def load(name: str) -> Any:
    return yaml.safe_load(TEXTS[name])


def ray_version() -> str:
    (version,) = re.findall(r"^ARG RAY_VERSION=(\S+)$", TEXTS["Dockerfile"], re.M)
    return str(version)


def option(command: str, name: str) -> str | None:
    """Return the value of `--name=value` in a shell command."""
    for word in shlex.split(command):
        if word.startswith(f"--{name}="):
            return word.partition("=")[2]
    return None


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_have_the_fields_of_their_schema(name: str) -> None:
    manifest = load(f"kuberay/{name}")
    assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert manifest["metadata"] == {"name": "raybatch"}
    if (custom := KINDS.get((manifest["apiVersion"], manifest["kind"]))) is not None:
        check(manifest["spec"], custom, name)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_pods_have_the_fields_of_kubernetes() -> None:
    options = load("kuberay/raycluster.yaml")["spec"]["autoscalerOptions"]
    autoscaler = {key: options[key] for key in ("resources", "securityContext")}
    specs = [pod for _, pod in pods()]
    specs.append({"containers": [{"name": "autoscaler", **autoscaler}]})
    for spec in specs:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_the_job_runs_on_the_cluster_of_the_other_file() -> None:
    job, cluster = load("kuberay/rayjob.yaml")["spec"], load("kuberay/raycluster.yaml")["spec"]
    assert job["rayClusterSpec"] == cluster
    program, arguments = shlex.split(job["entrypoint"])[1], shlex.split(job["entrypoint"])[2:]
    assert program == "/program/train.py"
    assert train.make_context("train", arguments).params["directory"] == "/data/train"
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert json.loads(job["entrypointResources"]) == resources(groups["trainer"])
    mounts = {
        mount["mountPath"]
        for mount in groups["trainer"]["template"]["spec"]["containers"][0]["volumeMounts"]
    }
    assert {"/program", "/data"} <= mounts


def resources(group: dict[str, Any]) -> Any:
    """Return a group's custom resources, which KubeRay passes through a shell."""
    (unquoted,) = shlex.split(group["rayStartParams"].get("resources", "{}"))
    return json.loads(unquoted)


def quantity(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([MG]i)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 2**20, "Gi": 2**30}[unit]


def pods() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each group of the cluster, with the spec of its pods."""
    spec = load("kuberay/raycluster.yaml")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["template"]["metadata"]["labels"] == {"app": "raybatch"}
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        yield group, group["template"]["spec"]


def test_pods_are_confined_watched_and_limited() -> None:
    for group, pod in pods():
        user = pod["securityContext"]
        assert user["runAsNonRoot"]
        assert user["runAsUser"] == 1000
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        if "groupName" in group:
            # The head's autoscaler changes the cluster through its service account; other pods need
            # none.
            assert pod["automountServiceAccountToken"] is False


def test_the_object_store_fits_shared_memory_and_that_fits_the_limit() -> None:
    for group, pod in pods():
        (container,) = pod["containers"]
        (shm,) = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
        assert shm["medium"] == "Memory"
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store < quantity(shm["sizeLimit"])
        assert (
            quantity(shm["sizeLimit"]) <= quantity(container["resources"]["limits"]["memory"]) / 4
        )


def test_only_loader_pods_have_the_resource_and_they_come_and_go() -> None:
    (head, _), (trainer, _), (loader, _) = pods()
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert [resources(group) for group in (head, trainer, loader)] == [
        {},
        {"trainer": 1},
        {"loader": 1},
    ]
    assert loader["minReplicas"] == 0 < loader["maxReplicas"]
    assert load("kuberay/raycluster.yaml")["spec"]["enableInTreeAutoscaling"]


def test_ports_and_labels_agree() -> None:
    policy = load("kuberay/network-policy.yaml")["spec"]
    monitor = load("kuberay/pod-monitor.yaml")["spec"]
    label = {"matchLabels": {"app": "raybatch"}}
    assert policy["podSelector"] == monitor["selector"] == label
    own, operator, prometheus = policy["ingress"]
    assert own == {"from": [{"podSelector": label}]}
    dashboard, metrics = (rule["ports"][0]["port"] for rule in (operator, prometheus))
    (endpoint,) = monitor["podMetricsEndpoints"]
    for group, pod in pods():
        ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
        assert ports[endpoint["port"]] == metrics
        assert group["rayStartParams"]["metrics-export-port"] == str(metrics)
        if "dashboard" in ports:
            assert ports["dashboard"] == dashboard
    starts = [start for name in LAUNCHER for start in starting(name)]
    starts.append(TEXTS["slurm/raybatch.sbatch"].replace("\\\n", ""))
    for start in starts:
        assert f"--metrics-export-port={metrics} " in f"{start} "


def starting(name: str) -> tuple[str, str]:
    """Return the commands that start Ray on the head and on the other hosts."""
    config = load(name)
    return config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]


@pytest.mark.parametrize("name", LAUNCHER)
def test_the_launcher_takes_its_files(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    config = load(name)
    jsonschema.validate(config, json.loads(schema.read_text()))
    kinds = config.get("available_node_types", {})
    head, worker = starting(name)
    if config["provider"]["type"] == "local":
        # A local provider has only one type of host, so only the start commands differ.
        assert not kinds
        assert config["provider"]["worker_ips"]
        on_head, on_worker = option(head, "resources"), option(worker, "resources")
        assert on_head is None
        assert json.loads(on_worker or "") == {"loader": 1}
    else:
        assert kinds.keys() == {config["head_node_type"], "loader"}
        assert kinds["loader"]["max_workers"] == config["max_workers"]
        assert kinds["loader"]["resources"]["loader"] == 1
        assert "loader" not in kinds[config["head_node_type"]]["resources"]
    assert option(head, "port") == "6379"
    assert option(worker, "address") == "$RAY_HEAD_IP:6379"
    assert option(head, "dashboard-host") == "127.0.0.1"


def test_every_way_to_start_ray_asks_for_a_token() -> None:
    for name in LAUNCHER:
        config = load(name)
        assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
        assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    assert load("kuberay/raycluster.yaml")["spec"]["authOptions"] == {
        "mode": "token",
        "secretName": "raybatch-token",
    }
    assert "create secret generic raybatch-token" in TEXTS["kuberay/raycluster.yaml"]
    assert "\nENV RAY_AUTH_MODE=token\n" in TEXTS["Dockerfile"]
    assert "\nexport RAY_AUTH_MODE=token" in TEXTS["slurm/raybatch.sbatch"]
    for block in re.findall(r"```sh\n(.*?)```", TEXTS["README.md"], re.S):
        assert ("ray start" in block) <= ("export RAY_AUTH_MODE=token" in block)


@pytest.mark.parametrize("name", TEXTS)
def test_there_is_no_secret(name: str) -> None:
    assert not TOKEN.findall(TEXTS[name])


def test_nothing_listens_on_all_addresses_but_in_pods() -> None:
    found = {name for name, text in TEXTS.items() if "0.0.0.0" in text}
    assert found == {"kuberay/raycluster.yaml", "kuberay/rayjob.yaml"}
    assert load("kuberay/raycluster.yaml")["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "--web.listen-address=127.0.0.1:" in TEXTS["prometheus.yaml"]


def test_all_name_one_image_and_one_ray() -> None:
    for name, text in TEXTS.items():
        assert set(re.findall(r"\S*example\.com/[\w:.]+", text)) <= {IMAGE, f"`{IMAGE}"}, name
    for name in LAUNCHER:
        assert load(name)["docker"]["image"] == IMAGE
    assert {pod["containers"][0]["image"] for _, pod in pods()} == {IMAGE}
    assert load("kuberay/raycluster.yaml")["spec"]["rayVersion"] == ray_version()


def test_the_image_is_of_what_pyproject_says() -> None:
    tomllib = pytest.importorskip("tomllib")  # in Python 3.11 and later
    root = CLUSTER.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())
    text = TEXTS["Dockerfile"]
    for extras in re.findall(r"EXTRAS=(\S+)", text):
        assert set(extras.split(",")) <= project["project"]["optional-dependencies"].keys()
    (least,) = [d for d in project["project"]["dependencies"] if d.startswith("ray>=")]
    assert version(least.partition(">=")[2]) <= version(ray_version())
    (python,) = re.findall(r"-py3(\d+)-cpu$", text, re.M)
    assert f"Programming Language :: Python :: 3.{python}" in project["project"]["classifiers"]
    # The files that the image copies exist, and Dockerfile.dockerignore lets them into the build.
    copied = {
        name for line in re.findall(r"^COPY \S+ (.*) \S+$", text, re.M) for name in line.split()
    }
    assert all((root / name).exists() for name in copied)
    let_through = re.findall(r"^!(\S+)$", TEXTS["Dockerfile.dockerignore"], re.M)
    assert copied == set(let_through)
    assert text.rstrip().endswith("USER 1000")


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_prometheus_reads_the_list_that_ray_writes() -> None:
    config = load("prometheus.yaml")
    from ray._private import ray_constants

    (job,) = config["scrape_configs"]
    ((path,),) = [entry["files"] for entry in job["file_sd_configs"]]
    assert path == f"/tmp/ray/{ray_constants.PROMETHEUS_SERVICE_DISCOVERY_FILE}"
    assert all((CLUSTER / name).exists() for name in config["rule_files"])


def test_the_readme_names_every_file_and_no_other() -> None:
    links = set(re.findall(r"\]\(([^)#]+)\)", TEXTS["README.md"]))
    files = {str(path.relative_to(CLUSTER)) for path in CLUSTER.rglob("*.*") if path.is_file()}
    own = {"README.md", "Dockerfile.dockerignore", "hosts.py", "slow_link.py"}
    assert (
        links
        == {name for name in files | {"Dockerfile"} if not re.search(r"(\.pyc|__)", name)} - own
    )
    anchors = {"#" + title.lower().replace(" ", "-") for title in titles()}
    assert set(re.findall(r"\]\((#[^)]+)\)", TEXTS["README.md"])) <= anchors


def titles() -> list[str]:
    return re.findall(r"^#+ (.*)$", TEXTS["README.md"], re.M)


def table(first: str) -> dict[str, list[str]]:
    """Return the rows of the README's table with the heading `first`, by their first cell."""
    lines = TEXTS["README.md"].partition(f"\n| {first} |")[2].partition("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:]]
    return {name: cells for name, *cells in rows}


def test_the_readme_reckons_as_raybatch_plan_does() -> None:
    rows = table("loader hosts")
    for column, hosts in enumerate((10, 100, 1000)):
        actors = 16 * hosts
        wanted = 0.9 * 600 * actors
        ranks = int(rows["ranks"][column])
        # Slightly less than `wanted`, which needs exactly `actors`: a rounding error could add an
        # actor.
        all_of_it, low = (needs(wanted * (1 - 1e-9), driver_s) for driver_s in (5e-4, 3.5e-4))
        rank = needs(wanted / ranks * (1 - 1e-9), 5e-4)
        assert rank.warning is None
        assert needs(wanted / (ranks - 1), 5e-4).warning is not None
        reckoned = {
            "actors": all_of_it.actors,
            "images a second": round(wanted),
            "batches a second": round(wanted / 64),
            "cores to receive them, at 0.35 ms": low.driver_cores,
            "cores to receive them, at 0.5 ms": all_of_it.driver_cores,
            "ranks": ranks,
            "actors of a rank": rank.actors,
            "window of a rank, batches": rank.window_batches,
            "object store of a rank's host": rank.store_bytes / 1e9,
            "network into a rank's host": rank.network_bit_s / 1e9,
            "network into all ranks' hosts": all_of_it.network_bit_s / 1e12,
            "storage to all loader hosts": all_of_it.storage_bit_s / 1e12,
            "object store of a loader host": 2 * 16 * NBYTES / 1e9,
            "network out of a loader host": all_of_it.network_bit_s / 1e9 / hosts,
            "private memory of its actors": 16 * 97e6 / 1e9,
            "start of its actors, at most": 16 * 0.28,
        }
        assert reckoned.keys() == rows.keys()
        for name, exact in reckoned.items():
            said = rows[name][column].split()[0].replace(",", "")
            decimals = len(said.partition(".")[2])
            assert abs(float(said) - exact) <= 0.5001 * 10**-decimals, name


NBYTES = 64 * 224 * 224 * 3


def needs(images_per_s: float, driver_s: float) -> Any:
    costs = BatchCosts(64, NBYTES, 64 * 100_000, 64 / 600, 0.0, driver_s)
    return needs_for(costs, images_per_s)


def test_the_program_asks_for_the_resource_of_the_loaders() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(TEXTS["train.py"]))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "rb.RayActorPool"
    ]
    (pool,) = calls
    (asked,) = [ast.literal_eval(k.value) for k in pool.keywords if k.arg == "resources"]
    assert asked == {"loader": 0.001}


def test_certificates_are_for_their_hosts_and_nobody_elses(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    make = [str(CLUSTER / "tls.sh"), str(tmp_path / "made")]
    subprocess.run([*make, "10.0.0.1", "10.0.0.2"], check=True)
    authority = (tmp_path / "made" / "ca.crt").read_bytes()
    subprocess.run([*make, "10.0.0.3"], check=True)  # later, with the same authority
    assert (tmp_path / "made" / "ca.crt").read_bytes() == authority
    for ip in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        folder = tmp_path / "made" / ip
        assert {path.name for path in folder.iterdir()} == {"tls.crt", "tls.key", "ca.crt"}
        assert (folder / "tls.key").stat().st_mode & 0o777 == 0o600
        verify = ["openssl", "verify", "-CAfile", str(folder / "ca.crt"), "-verify_ip"]
        for address, good in ((ip, True), ("127.0.0.1", True), ("10.0.0.9", False)):
            result = subprocess.run(
                [*verify, address, str(folder / "tls.crt")], capture_output=True
            )
            assert (result.returncode == 0) is good
    for name in ("USE_TLS", "TLS_SERVER_CERT", "TLS_SERVER_KEY", "TLS_CA_CERT"):
        assert f"\nexport RAY_{name}=" in TEXTS["README.md"]
