"""`raybatch doctor`, tested with real faults where possible."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.authentication.authentication_utils import is_token_auth_enabled

from raybatch.cli import diagnosis
from raybatch.cli.host_facts import look
from tests.cluster.host_loading import given_hosts

DOCTOR = [sys.executable, "-m", "raybatch", "doctor"]


def run(
    *arguments: str, status: int, before: tuple[str, ...] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [*before, *DOCTOR, *arguments]
    done = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def diagnose(*arguments: str, status: int, **options: Any) -> dict[str, tuple[str, str]]:
    """Return the status and the observation of each check."""
    findings = json.loads(run(*arguments, "--json", status=status, **options).stdout)
    for finding in findings:
        assert bool(finding["advice"]) == (finding["status"] != "ok"), finding
    return {finding["check"]: (finding["status"], finding["seen"]) for finding in findings}


def test_a_machine_that_is_well(photos: list[str], tmp_path: Path) -> None:
    folder = str(Path(photos[0]).parent)
    text = run(photos[0], folder, status=0, RAY_TMPDIR=str(tmp_path)).stdout
    assert f"ok      path {photos[0]}: readable on 1 host" in text
    assert f"ok      path {folder}: readable on 1 host" in text
    assert f"ok      cores, this machine: {len(os.sched_getaffinity(0))}" in text
    assert f"ok      version of ray: {ray.__version__} on 1 host" in text
    assert f"ok      address file: there is no {tmp_path}/ray/ray_current_cluster" in text
    assert "ok      JPEG decoder, this machine: usable" in text
    assert "problem" not in text


def test_what_is_wrong_with_a_machine(tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # but do not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        (tmp_path / "empty").mkdir()
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "simplejpeg.py").write_text(
            "def decode_jpeg(*args, **options): raise ValueError"
        )
        paths = [str(tmp_path / name) for name in ("missing", "empty", "pipe")]
        found = diagnose(
            *paths,
            status=1,
            before=("bash", "-c", 'ulimit -n 512; exec "$@"', "bash"),
            RAY_TMPDIR=str(tmp_path),
            RAYBATCH_KERNEL="none",
            PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
        )
    assert found["open files, this machine"] == ("problem", "at most 512")
    status, seen = found["address file"]
    assert status == "problem"
    assert f"names {address}, but no Ray answers there (Connection refused)" in seen
    for path, reason in zip(paths, ("No such file", "is empty", "neither a file"), strict=True):
        status, seen = found[f"path {path}"]
        assert status == "problem"
        assert reason in seen
    assert found["resize kernel, this machine"][0] == "warning"
    status, seen = found["JPEG decoder, this machine"]
    assert status == "warning"
    assert "differ from Pillow's" in seen


@pytest.mark.parametrize(("folder", "status"), [("/tmp", "ok"), ("/tmp/" + "long" * 20, "warning")])
def test_a_folder_that_is_too_long_for_sockets(
    folder: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", folder)
    found = diagnosis.of_ray_folder()
    assert found.status == status
    assert (folder in found.seen) == (status == "warning")
    assert bool(found.advice) == (status == "warning")


def test_shared_memory_that_is_too_small(tmp_path: Path) -> None:
    small = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'
    before = ("unshare", "--mount", "bash", "-c", small, "bash")
    if subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("it takes root (CAP_SYS_ADMIN) to mount a small /dev/shm")
    found = diagnose(status=0, before=before, RAY_TMPDIR=str(tmp_path))
    status, seen = found["/dev/shm, this machine"]
    assert status == "warning"
    assert seen.startswith("0.1 GB, Ray would take ")


def test_a_cluster(ray_cluster: None, photos: list[str], tmp_path: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    where = ray.util.get_node_ip_address()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address)
    found = diagnose(
        *photos[:1],
        "--address",
        address,
        status=0,
        RAY_TMPDIR=str(tmp_path),
        RAY_AUTH_MODE="token",
    )
    assert found["cluster"] == ("ok", address)
    assert found["address file"] == ("ok", f"{address} answers")
    # From version 2.59 on, Ray asks for a token by default.
    status, seen = found["token authentication"]
    assert (status == "ok", seen == "on") == (is_token_auth_enabled(),) * 2
    assert found["version of raybatch"][1].endswith("on 1 host")
    assert found[f"/dev/shm, {where}"][1].endswith("GB, the object store has 0.5 GB")
    assert found[f"path {photos[0]}"] == ("ok", "readable on 1 host")


def test_a_cluster_that_cannot_be_looked_at(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = run("--address", address, status=2, RAY_TMPDIR=str(tmp_path))
    assert f"cannot connect to Ray at '{address}': no Ray answers at" in done.stderr
    assert "Traceback" not in done.stderr
    assert f"problem cluster: {address} cannot be joined" in done.stdout


def test_ray_client(tmp_path: Path) -> None:
    found = diagnose(status=1, RAY_ADDRESS="ray://nowhere:10001", RAY_TMPDIR=str(tmp_path))
    assert found["cluster"] == ("problem", "ray://nowhere:10001 is an address for Ray Client")


def test_a_secret_in_a_url_is_not_shown(tmp_path: Path) -> None:
    url = "s3://me:secret@bucket/x?endpoint_override=127.0.0.1%3A9&scheme=http"
    facts = replace(look([]), unreadable={url: f"cannot open {url}"})
    (finding,) = diagnosis.of_paths(look([]), {"a": facts}, [url])
    assert finding.status == "problem"
    assert "secret" not in str(finding)


def test_a_path_that_is_missing_here_too_is_told_as_wrong() -> None:
    lacks = look(["/nowhere"])
    (here,) = diagnosis.of_paths(lacks, {"this machine": lacks}, ["/nowhere"])
    (there,) = diagnosis.of_paths(look([]), {"a": lacks}, ["/nowhere"])
    assert here.advice == "check that the path exists and that you may read it"
    assert there.advice.startswith("Mount or copy the data on every host")


def test_hosts_that_differ() -> None:
    here = look([])
    there = replace(here, versions={**here.versions, "ray": "2.41.0", "raybatch": None})
    found = {one.check: one for one in diagnosis.of_versions(here, {"a": here, "b": there})}
    assert found["version of Python"].status == "ok"
    assert found["version of ray"].status == "problem"
    assert found["version of ray"].seen == f"{ray.__version__} here; b: 2.41.0"
    assert found["version of raybatch"].seen.endswith("here; b: not installed")
    assert "not built" in found_kernel(replace(here, kernel="it was not built"))


@pytest.mark.parametrize(
    ("seen", "status", "advice"),
    [
        ("usable", "ok", ""),
        ("no simplejpeg", "warning", "raybatch[fast]"),
        ("its pixels differ from Pillow's (grey)", "warning", "upgrade pillow and simplejpeg"),
    ],
)
def test_the_jpeg_decoder(seen: str, status: str, advice: str) -> None:
    found = diagnosis.of_host("a", replace(look([]), jpeg_decoder=seen))
    (decoder,) = [one for one in found if one.check == "JPEG decoder, a"]
    assert (decoder.status, decoder.seen) == (status, seen)
    assert advice in decoder.advice
    assert bool(decoder.advice) == (status != "ok")


def found_kernel(facts: Any) -> str:
    kernel = [one for one in diagnosis.of_host("a", facts) if one.check.startswith("resize")]
    assert [one.status for one in kernel] == ["warning"]
    assert "C compiler" in kernel[0].advice
    return kernel[0].seen


@pytest.mark.cluster
@pytest.mark.timeout(240)
def test_a_path_that_one_host_alone_has() -> None:
    with given_hosts(cpus=1) as hosts:
        # The hosts share all files except those about their network.
        path = f"/proc/sys/net/ipv4/conf/{hosts.name}i2/forwarding"
        command = [*DOCTOR, path, "--address", hosts.address, "--json"]
        doctor = hosts.head.start(command, stdout=subprocess.PIPE)
        out, _ = doctor.communicate(timeout=200)
        assert doctor.returncode == 1
    found = {one["check"]: one for one in json.loads(out)}
    assert found["version of ray"]["seen"].endswith("on 3 hosts")
    reason = found[f"path {path}"]
    assert found["token authentication"]["status"] == "warning"  # the test hosts switch it off
    assert reason["status"] == "problem"
    assert hosts.head.ip in reason["seen"]
    assert hosts.workers[1].ip in reason["seen"]
    assert hosts.workers[0].ip not in reason["seen"]


@pytest.mark.parametrize(
    ("kernel", "advice"),
    [
        ("RAYBATCH_KERNEL=none", "unset that variable"),
        ("its pixels differ from Pillow's", "reinstall raybatch there"),
        ("this processor has no AVX2; without it, Pillow is faster", ""),
    ],
)
def test_the_advice_about_the_kernel_is_about_its_reason(kernel: str, advice: str) -> None:
    found = {one.check: one for one in diagnosis.of_host("here", replace(look([]), kernel=kernel))}
    assert found["resize kernel, here"].advice.startswith(advice)
    assert (found["resize kernel, here"].status == "ok") == (advice == "")
