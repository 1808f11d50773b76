"""The examples as a user runs them: training resumes where it stopped, with the same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from click.testing import CliRunner

pytest.importorskip("torch")

import torch

from raybatch.examples.train import labelled_photos, main
from tests.session_pool import SessionPool

pytestmark = pytest.mark.slow

EPOCHS, PHOTOS = 2, 40
BLOCKED = """
import sys
sys.modules["torch"] = None
import raybatch.examples.train
"""


def arguments(photos: list[str], *more: str) -> list[str]:
    """Return arguments for batches of one image, so that an epoch has forty batches."""
    folder = str(Path(photos[0]).parent)
    return [folder, "--epochs", str(EPOCHS), "--batch-size", "1", "--edge", "16", *more]


def train(photos: list[str], *more: str) -> list[str]:
    """Run the program to its end, and return the lines that it prints."""
    result = CliRunner().invoke(main, arguments(photos, *more), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def losses(lines: list[str]) -> list[str]:
    return [line.partition("loss ")[2].partition(",")[0] for line in lines if "loss" in line]


def weights(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(checkpoint)["model"]
    return state


@pytest.fixture(scope="module", autouse=True)
def torch_settings() -> Iterator[None]:
    """The settings of torch, which are restored after the tests."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def whole(
    photos: list[str], session_ray: SessionPool, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path]:
    """The output of a run without interruptions, and its last checkpoint."""
    checkpoint = tmp_path_factory.mktemp("whole") / "ckpt.pt"
    return train(photos, "--checkpoint", str(checkpoint)), checkpoint


def test_training_says_what_it_lost_and_how_long_it_waited(whole: tuple[list[str], Path]) -> None:
    *epochs, waited = whole[0]
    assert [line.split(":")[0] for line in epochs] == ["epoch 0", "epoch 1"]
    assert all("images/s, waited" in line for line in epochs)
    assert len(set(losses(epochs))) == EPOCHS
    assert "of all the time; " in waited


def test_the_loss_after_kill_9_in_mid_epoch_is_that_of_the_whole_run(
    photos: list[str], whole: tuple[list[str], Path], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "ckpt.pt"
    own = ["--checkpoint", str(checkpoint), "--every", "3"]
    command = [sys.executable, "-m", "raybatch.examples.train", *arguments(photos, *own)]
    joined = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    with subprocess.Popen(command, env=joined, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "epoch 1: saved after 6 images\n":
            assert process.poll() is None
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 6 <= torch.load(checkpoint)["images"] < PHOTOS
    first, *rest = train(photos, *own)
    assert first.startswith("epoch 1: resumes after ")
    lines, last = whole
    assert losses(rest) == losses(lines)[1:]
    assert all(
        torch.equal(weights(last)[name], value) for name, value in weights(checkpoint).items()
    )


def test_stopped_twice_it_goes_on_twice(
    photos: list[str], whole: tuple[list[str], Path], tmp_path: Path
) -> None:
    own = ["--checkpoint", str(tmp_path / "ckpt.pt"), "--stop-after", "33"]
    lines = [*train(photos, *own), *train(photos, *own), *train(photos, *own)]
    assert [line for line in lines if "resumes" in line] == [
        "epoch 0: resumes after 33 images",
        "epoch 1: resumes after 26 images",
    ]
    assert losses(lines) == losses(whole[0])


def test_pytorchs_dataloader_gives_the_same_losses(
    photos: list[str], whole: tuple[list[str], Path]
) -> None:
    assert losses(train(photos, "--loader", "torch")) == losses(whole[0])


def test_mistakes_are_told(photos: list[str], tmp_path: Path) -> None:
    options = ["--loader", "torch", "--checkpoint", str(tmp_path / "ckpt.pt")]
    for given, message in (
        (arguments(photos, *options), "no position"),
        (arguments([str(tmp_path / "none.jpg")]), "no dog_*.jpg"),
    ):
        result = CliRunner().invoke(main, given)
        assert (result.exit_code, message in result.output) == (2, True)


def test_without_torch_the_extra_is_named() -> None:
    result = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    assert "ImportError: this example trains with torch: pip install 'raybatch[torch]'" in (
        result.stderr
    )


def test_a_part_of_the_photos_is_spread_evenly(tmp_path: Path) -> None:
    for number in range(75):
        for kind in ("cat", "dog"):
            (tmp_path / f"{kind}_{number:02}.jpg").touch()
    paths, labels = labelled_photos(str(tmp_path), 100)
    assert (len(paths), labels.sum()) == (100, 50)
