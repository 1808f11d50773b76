"""Log records: key facts are fields, and no record is shown unless the program asks for it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from tests.drivers import actor_processes, an_actor, wait_for
from tests.sample_sources import faulty


class Paced:
    """An array-like that takes 20 ms for each read."""

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: Any) -> Any:
        time.sleep(0.02)
        return np.asarray(index)


class Deadly(Paced):
    """An array-like that kills the first process that reads its row 60."""

    def __init__(self, killed: Path) -> None:
        self.killed = killed

    def __getitem__(self, index: Any) -> Any:
        if 60 in index and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def records(caplog: pytest.LogCaptureFixture, words: str) -> list[Any]:
    return [record for record in caplog.records if words in record.getMessage()]


def test_a_pool_that_starts_loses_an_actor_and_ends(
    ray_cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "raybatch")
    with rb.RayActorPool(2) as pool:
        source = rb.ArrayDataSource([Deadly(tmp_path / "killed")])
        # No hedging: the pool would not retry a batch that a second worker is already making.
        alone = rb.Recovery(hedge_after=100)
        with rb.Loader(source, 4, pool=pool, recovery=alone, name="train") as loader:
            assert len(list(loader)) == 100
        retries = loader._journal.retries
    (started,) = records(caplog, "started a pool of 2 actors")
    (ended,) = records(caplog, "ended a pool of 2 actors")
    assert started.num_actors == ended.num_actors == 2
    (lost,) = records(caplog, "is lost; a new one is started")
    assert (lost.levelname, lost.worker in (0, 1)) == ("WARNING", True)
    again = records(caplog, "is made again")
    assert len(again) == retries >= 1
    assert (again[0].levelname, again[0].loader, again[0].epoch) == ("WARNING", "train", 0)
    assert again[0].batch >= 10
    assert again[0].attempt == 1
    assert again[0].error.startswith("WorkerLostError: ")
    assert f"loader train, epoch 0, batch {again[0].batch}: " in again[0].getMessage()
    wait_for(lambda: not actor_processes(), "all actors have ended", 30)


def test_a_late_batch(ray_cluster: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raybatch")
    recovery = rb.Recovery(hedge_after=0.3)
    with rb.RayActorPool(2) as pool:
        pool.wait_until_up()
        loader = rb.Loader(rb.ArrayDataSource([Paced()]), 4, pool=pool, recovery=recovery)
        for number, _ in enumerate(loader):
            if number == 10:
                an_actor().suspend()
    hedged = records(caplog, "so another worker makes it too")
    assert len(hedged) == loader._journal.hedges >= 1
    assert (hedged[0].levelname, hedged[0].loader, hedged[0].attempt) == ("INFO", "loader", 1)
    wait_for(lambda: not actor_processes(), "all actors have ended", 30)


def test_a_stuck_worker(ray_cluster: None, caplog: pytest.LogCaptureFixture) -> None:
    recovery = rb.Recovery(batch_timeout_s=3)
    with rb.RayActorPool(1) as pool:
        loader = rb.Loader(rb.ArrayDataSource([Paced()]), 100, pool=pool, recovery=recovery)
        iterator = iter(loader)
        next(iterator)
        an_actor().suspend()
        list(iterator)
    (stuck,) = records(caplog, "is stuck and is ended")
    assert (stuck.levelname, stuck.worker) == ("WARNING", 0)
    wait_for(lambda: not actor_processes(), "all actors have ended", 30)


def test_a_bad_sample_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with rb.Loader(faulty(0, 23, 17), 4, bad_samples="skip") as loader:
        for _ in range(2):
            list(loader)
    (bad,) = records(caplog, "(policy: skip)")
    assert (bad.levelname, bad.policy, bad.epoch, bad.batch, bad.index) == (
        *("WARNING", "skip", 0, 4, 17),
    )
    assert bad.error in bad.getMessage()


NOTICE = "epoch 0 of loader 'loader': 1 of 23 samples could not be read"

# Ways to configure logging, each with the number of log lines about a bad sample that the standard
# error then shows in addition to the notice.
SHOWN = {
    "": 0,
    "logging.basicConfig(force=True)": 1,
    "logging.basicConfig(force=True, level='ERROR')": 0,
    "logging.basicConfig(force=True, level='WARNING', stream=sys.stdout)": 0,
    "logging.basicConfig(force=True, handlers=[logging.NullHandler()])": 0,
    "logging.basicConfig(force=True, level='WARNING', handlers=[RichHandler(console=Console(stderr=True, width=400))])": (
        1
    ),
    "logging.disable()": 0,
}


def test_one_line_after_an_epoch_with_bad_samples_is_on_the_standard_error_whatever_is_logged() -> (
    None
):
    program = """
import logging, sys
import raybatch as rb
from rich.console import Console
from rich.logging import RichHandler
from tests.sample_sources import faulty
for configure in sys.argv[1:]:
    exec(configure)
    list(rb.Loader(faulty(0, 23), 4, bad_samples="skip"))
    list(rb.Loader(faulty(0, 23, 17), 4, bad_samples="skip"))
    sys.stderr.write("looped")
"""
    done = subprocess.run([sys.executable, "-c", program, *SHOWN], capture_output=True, text=True)
    assert done.returncode == 0
    for text, configure in zip(done.stderr.split("looped"), SHOWN, strict=False):
        assert text.count(NOTICE) == 1, configure
        assert text.count("epoch 0, batch 4: sample 17") == SHOWN[configure], configure
        assert text.count("\n") == 1 + SHOWN[configure], configure


def test_the_line_comes_after_each_epoch_and_where_one_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loader = rb.Loader(faulty(0, 23, 1, 2, 9, 10), 4, bad_samples="skip", name="train")
    list(loader)
    (first,) = capsys.readouterr().err.splitlines()
    assert "epoch 0 of loader 'train': 4 of 23 samples" in first
    assert "were skipped. The first error: sample 1: ValueError: 1 is bad." in first
    for number, _ in enumerate(loader):
        if number == 1:
            break
    (second,) = capsys.readouterr().err.splitlines()
    assert "epoch 1 of loader 'train': 2 of 8 samples" in second
    with loader:
        batches = iter(loader)
        next(batches)
    (third,) = capsys.readouterr().err.splitlines()
    assert "of loader 'train': 2 of 4 samples" in third
    del batches
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("source", "last_batch"),
    [(np.arange(0), "keep"), (np.arange(3), "drop"), (np.arange(0), "pad")],
)
def test_an_epoch_without_batches_is_told(
    source: Any, last_batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loader = rb.Loader(rb.ArrayDataSource([source]), 4, last_batch=last_batch)
    assert list(loader) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        f"epoch 0 of loader 'loader' has no batches: the source has {len(source)} samples" in line
    )
    assert f"batch_size=4, RankSplit(rank=0, world_size=1) and last_batch={last_batch!r}" in line


def test_what_is_left_of_an_epoch_that_was_loaded_at_its_end_is_not_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loader = rb.Loader(rb.ArrayDataSource([np.arange(4)]), 4)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    other = rb.Loader(rb.ArrayDataSource([np.arange(4)]), 4)
    other.load_state_dict(state)
    assert list(other) == []
    assert capsys.readouterr().err == ""
