"""A cluster that asks for a token accepts programs that have it, and refuses all others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.drivers import start

ROOT = Path(__file__).parents[2]

CLUSTER = """
import logging, ray
context = ray.init(
    address="local", num_cpus=1, resources={"loader": 1}, include_dashboard=False,
    logging_level=logging.ERROR, object_store_memory=100_000_000,
)
say(address=context.address_info["address"])
input()
"""


def with_token(path: Path, mode: str = "token") -> dict[str, str]:
    """Return this environment with the token in `path`, and without other settings of Ray."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return env | {
        "RAY_AUTH_MODE": mode,
        "RAY_AUTH_TOKEN_PATH": str(path),
        "PYTHONPATH": str(ROOT),
        # If Ray needs a token, it writes its own below HOME.
        "HOME": str(path.parent),
    }


def load(address: str, env: dict[str, str], images: Path) -> subprocess.Popen[str]:
    """Start cluster/train.py on the cluster at `address`."""
    command = [sys.executable, str(ROOT / "cluster" / "train.py"), str(images)]
    options = ["--actors", "1", "--size", "32", "--batch-size", "8"]
    return subprocess.Popen(
        [*command, *options],
        env=env | {"RAY_ADDRESS": address},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_program_without_the_token_is_refused(photos: list[str], tmp_path: Path) -> None:
    images = tmp_path / "images"
    for photo in map(Path, photos):
        folder = images / photo.name[:3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / photo.name).symlink_to(photo)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("a" * 64)
    wrong.write_text("b" * 64)
    with start(CLUSTER, env=with_token(right)) as cluster:
        address = cluster.listen()["address"]
        cluster.children()
        programs = {
            "right": load(address, with_token(right), images),
            "wrong": load(address, with_token(wrong), images),
            "none": load(address, with_token(right, mode="disabled"), images),
            "missing": load(address, with_token(tmp_path / "missing"), images),
        }
        said = {name: program.communicate(timeout=100)[0] for name, program in programs.items()}
    assert programs["right"].returncode == 0, said["right"]
    assert re.search("^epoch 0: ", said["right"], re.MULTILINE)
    why = {
        "wrong": "asks for a token, and refuses this process's token. Set RAY_AUTH_MODE=token",
        "none": (
            "asks for a token, and RAY_AUTH_MODE=token is not set here. Set RAY_AUTH_MODE=token"
        ),
        "missing": "RAY_AUTH_TOKEN_PATH",
    }
    for name, words in why.items():
        assert programs[name].returncode == 1, said[name]
        *_, last = said[name].strip().splitlines()
        assert last.startswith(f"raybatch.errors.PoolError: cannot connect to Ray at '{address}'")
        assert words in last
