"""The Slurm script in cluster/, with stand-ins for Slurm, Ray and the program."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm" / "raybatch.sbatch"

# Stand-ins for Slurm and Ray. `srun` logs the nodes that it should use, and runs the command here.
STAND_INS = {
    "scontrol": 'printf "%s\\n" $NODES',
    "srun": (
        """
nodes=1
while [[ $1 == --* ]]; do
    case $1 in --nodelist=*) where=${1#*=};; --exclude=*) where="not ${1#*=}";; --nodes=*) nodes=${1#*=};; esac
    [[ $1 != --gpus* ]] || exit 9
    shift
done
echo "$nodes on $where: $*" >> "$LOG"
exec "$@" """
    ),
    "hostname": 'echo "fe80::1 10.0.0.7 192.168.0.7"',
    "ray": (
        """
echo "token ${RAY_AUTH_MODE-} $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $(wc -c < "$RAY_AUTH_TOKEN_PATH")" >> "$LOG"
[[ $* != *--head* || -z ${HEAD_FAILS-} ]] || exit 3
case $1 in health-check) test -f "$UP";; start) touch "$UP"; [[ $* == *--head* ]] || touch "$UP.loaders"; exec sleep 60;; esac"""
    ),
    # The program runs until the loaders have started, as real programs do.
    "program": (
        'until [[ $NODES != *\\ * || -f $UP.loaders ]]; do sleep 0.02; done; echo "program $* at'
        ' $RAY_ADDRESS" >> "$LOG"; exit ${STATUS-0}'
    ),
    # The script sleeps one second between two checks; here it sleeps 0.02 s.
    "sleep": '[[ $1 != 1 ]] || set 0.02; exec /bin/sleep "$1"',
    "stuck": 'echo stuck >> "$LOG"; exec sleep 60',
}


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a job on three nodes, with the stand-ins on its PATH.

    Afterwards, processes that the job left behind are killed.
    """
    for name, script in STAND_INS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)
    yield {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LOG": str(tmp_path / "log"),
        "UP": str(tmp_path / "up"),
        "NODES": "node1 node2 node3",
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_CPUS_PER_TASK": "32",
    }
    for pid in running(str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


def running(home: str) -> list[int]:
    """Return the ids of the processes with this HOME."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # It belongs to another user, or has ended.
    return found


def submit(env: dict[str, str], *program: str) -> subprocess.Popen[str]:
    command = ["bash", str(SCRIPT), *program]
    return subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE)


def ended(job: subprocess.Popen[str], env: dict[str, str]) -> tuple[int, str, list[str]]:
    """Return the job's status, its error output and the logged calls.

    Check that it left no token and no process.
    """
    _, complaint = job.communicate(timeout=40)
    assert not list(Path(env["HOME"], ".ray").glob("*.token"))
    assert not running(env["HOME"])
    log = Path(env["LOG"])
    return job.returncode, complaint, log.read_text().splitlines() if log.exists() else []


def test_slurm_runs_the_program_on_the_first_node_and_loads_on_the_others(
    slurm: dict[str, str],
) -> None:
    status, complaint, calls = ended(submit(slurm, "program", "--epochs", "2"), slurm)
    assert (status, complaint) == (0, "")
    (head,) = [call for call in calls if "ray start --head" in call]
    assert head.startswith("1 on node1: ")
    assert "--node-ip-address=10.0.0.7 " in head
    assert "--dashboard-host=127.0.0.1 " in head
    assert "--resources" not in head
    (others,) = [call for call in calls if "--address=" in call]
    assert others.startswith("2 on not node1: ray start --block")
    assert '--resources={"loader": 1}' in others
    assert "1 on node1: program --epochs 2" in calls
    assert "program --epochs 2 at 10.0.0.7:6379" in calls
    # The token is 32 random bytes in hexadecimal, and only this user can read it.
    assert {call for call in calls if call.startswith("token")} == {"token token 600 64"}


def test_slurm_loads_and_trains_on_a_single_node(slurm: dict[str, str]) -> None:
    status, _, calls = ended(submit(slurm | {"NODES": "node1"}, "program"), slurm)
    assert status == 0
    (start,) = [call for call in calls if "ray start" in call]
    assert '--resources={"loader": 1}' in start


def test_slurm_passes_on_the_status_of_the_program(slurm: dict[str, str]) -> None:
    assert ended(submit(slurm | {"STATUS": "7"}, "program"), slurm)[0] == 7


def test_slurm_ends_when_ray_does_not_start(slurm: dict[str, str]) -> None:
    status, complaint, calls = ended(submit(slurm | {"HEAD_FAILS": "1"}, "program"), slurm)
    assert (status, complaint) == (1, "raybatch.sbatch: Ray did not start on node1\n")
    assert not [call for call in calls if "program" in call]


def test_slurm_ends_at_once_when_its_time_is_up(slurm: dict[str, str]) -> None:
    log = Path(slurm["LOG"])
    os.mkfifo(log)  # the read below waits until the job writes
    job = submit(slurm, "stuck")
    seen = []
    while "stuck" not in seen:
        seen += log.read_text().splitlines()
    log.unlink()
    job.send_signal(signal.SIGTERM)
    assert ended(job, slurm)[0] == 143


def test_slurm_without_a_program_says_so(slurm: dict[str, str]) -> None:
    status, complaint, _ = ended(submit(slurm), slurm)
    assert status == 2
    assert "no program to run" in complaint
