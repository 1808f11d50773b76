"""A Ray that a pool starts for its own process alone."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.drivers import start

PROGRAM = """
with rb.RayActorPool(1, name="loaders") as pool:
    say(actors=pool.wait_until_up().num_actors)
"""


def test_a_long_tmpdir_is_no_hindrance_and_a_name_shares_with_nobody(tmp_path: Path) -> None:
    folder, log = tmp_path / ("long" * 20), tmp_path / "stderr"
    folder.mkdir()
    env = {**os.environ, "RAY_ADDRESS": "", "TMPDIR": str(folder)}
    with log.open("w") as stderr, start(PROGRAM, env=env, stderr=stderr) as driver:
        assert driver.listen() == {"actors": "1"}
        assert driver.process.wait(timeout=60) == 0
    said = log.read_text()
    assert said.count("the pool 'loaders' runs on a Ray that this process started for itself") == 1
    assert "set RAY_ADDRESS=auto or address=" in said


def test_a_ray_that_does_not_start_is_a_pool_error(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    # Use /tmp: `tmp_path` can be too long for sockets, and then the pool would replace it.
    with NamedTemporaryFile(dir="/tmp") as file, log.open("w") as stderr:
        env = {**os.environ, "RAY_ADDRESS": "", "RAY_TMPDIR": file.name}
        with start(PROGRAM, env=env, stderr=stderr) as driver:
            assert driver.process.wait(timeout=60) == 1
    last = log.read_text().splitlines()[-1]
    assert last.startswith("raybatch.errors.PoolError: Ray does not start on this machine: NotADir")
    assert file.name in last
    assert "a ThreadPool, or no pool (--actors 0), needs no Ray" in last
