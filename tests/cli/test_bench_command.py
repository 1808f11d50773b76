"""`raybatch bench` prints its figures, reports mistakes, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

import raybatch
from tests.cli import commands
from tests.drivers import alive, wait_for

ROOT = Path(raybatch.__file__).parent.parent


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary folder whose name is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="b") as folder:
        yield Path(folder)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "raybatch", "bench", *arguments]


def run(
    *arguments: str, status: int, program: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    start = command() if program is None else [sys.executable, "-c", program, "bench"]
    result = subprocess.run(
        [*start, *arguments],
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.mark.slow
def test_bench_prints_json_draws_a_plot_and_leaves_nothing(
    photos: list[str], scratch: Path, tmp_path: Path
) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--size", "24x32", "--batch-size", "16", "--workers", "2", "--images", "33"]
    counts = ["--rounds", "1", "--epochs", "1", "--peers", "ceiling,plain"]
    picture, page = tmp_path / "bench.png", tmp_path / "bench.html"
    files = ["--plot", str(picture), "--html", str(page)]
    result = run(folder, *options, *counts, "--json", *files, status=0, TMPDIR=str(scratch))
    figures = json.loads(result.stdout)
    assert figures["work"] == {
        "recipe": "stretch",
        "images": 33,
        "size": [24, 32],
        "batch_size": 16,
        "workers": 2,
        "epochs": 1,
        "rounds": 1,
    }
    assert figures["versions"]["raybatch"] == raybatch.__version__
    rows = {row["name"]: row for row in figures["contenders"]}
    assert list(rows) == ["raybatch-actors", "raybatch-threads", "plain", "ceiling"]
    for row in rows.values():
        assert (row["state"], row["same_pixels"], row["note"]) == ("right", True, "")
        (one,) = row["rounds"]
        assert one["images_per_s"] == row["images_per_s"] > 0
        assert row["start_s"] > 0
        assert row["cpu_s_per_1000_images"] >= 0
        assert row["peak_mb"] > 10
        assert list(row["ratios"]) == ["raybatch-actors", "raybatch-threads"]
    with Image.open(picture) as drawn:
        assert drawn.width > 1000
    assert "33 images → 32×24" in page.read_text()
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_bench_prints_a_table_of_made_pictures(scratch: Path) -> None:
    program = """
from raybatch.cli import main
from raybatch.bench.contenders import CONTENDERS, Contender
CONTENDERS["stretch"].pop(0)  # Ray actors take their time to start
CONTENDERS["stretch"].append(Contender("x", "X", "plain", "tests.cli.wrong_contenders:other_filter"))
CONTENDERS["stretch"].append(Contender("y", "Y", "plain", "tests.cli.wrong_contenders:raising"))
main()
"""
    options = ["--images", "40", "--size", "16", "--rounds", "1", "--peers", "plain"]
    result = run(*options, status=1, program=program, TMPDIR=str(scratch))
    assert "40 images → 16×16" in result.stdout
    assert "plain loop" in result.stdout
    assert "too short for a comparison" in result.stdout
    assert "X: differs: 40 of 40 images have other pixels" in result.stdout
    assert "Y: failed: ZeroDivisionError: second batch" in result.stdout
    assert "\x1b" not in result.stdout
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_bench_trains(photos: list[str], scratch: Path, tmp_path: Path) -> None:
    folder, page = str(Path(photos[0]).parent), tmp_path / "bench.html"
    options = ["--recipe", "train", "--size", "24x32", "--workers", "2", "--rounds", "1"]
    peers = ["--peers", "plain", "--decode", "scaled", "--html", str(page)]
    result = run(folder, *options, *peers, "--json", status=0, TMPDIR=str(scratch))
    figures = json.loads(result.stdout)
    assert figures["work"]["recipe"] == "train"
    rows = {row["name"]: row for row in figures["contenders"]}
    own = ["raybatch-actors", "raybatch-threads", "raybatch-bytes"]
    assert list(rows) == [*own, "plain", "raybatch-scaled"]
    for row in rows.values():
        assert (row["state"], row["same_pixels"], row["note"]) == ("right", None, "")
        assert row["images_per_s"] > 0
    assert "40 images → random parts at 32×24" in page.read_text()
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "running"),
    [(signal.SIGINT, "raylet"), (signal.SIGTERM, "python"), (signal.SIGKILL, "raylet")],
)
def test_an_end_at_any_time_leaves_no_process_and_no_file(
    number: signal.Signals, running: str, photos: list[str], scratch: Path
) -> None:
    arguments = command(str(Path(photos[0]).parent), "--peers", "plain", "--epochs", "1000")
    env = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL)
    below: list[psutil.Process] = []

    def is_up() -> bool:
        below[:] = alive(psutil.Process(process.pid).children(recursive=True))
        return any(running in " ".join(each.cmdline()) for each in below)

    with process:
        wait_for(is_up, running, 60)
        process.send_signal(number)
        wait_for(lambda: process.poll() is not None, "the end", 30)
    wait_for(lambda: not alive(below), "no process below", 30)
    if number != signal.SIGKILL:
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "torch,tourch"], "'tourch' is not one of plain, ceiling, torch, ray-data"),
        (
            ["--recipe", "train", "--peers", "tourch"],
            "is not one of plain, ceiling, torch, torchvision",
        ),
        (["--peers", "dali", "--recipe", "train", "nowhere"], "nowhere"),
        (["--peers", "dali"], "'dali' is not one of plain"),
        (["--recipe", "tain"], "'tain' is not one of 'stretch', 'train', 'eval'"),
        (["--rounds", "0"], "--rounds"),
        (["--scale-margin", "0.5"], "--scale-margin"),
        (["nowhere"], "nowhere"),
        (["--plot", "nowhere/bench.png"], "there is no directory 'nowhere'"),
        (["--html", "nowhere/bench.html"], "there is no directory 'nowhere'"),
        (["--plot", "bench.xyz"], "'bench.xyz' must end in one of the suffixes"),
    ],
)
def test_mistakes_are_told(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in commands.run("bench", *arguments, folder=tmp_path, status=2).stderr


def test_a_folder_without_images_or_with_a_broken_one_cannot_be_run(tmp_path: Path) -> None:
    assert "no image files below" in run(str(tmp_path), status=2).stderr
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    assert "bad.jpg" in run(str(tmp_path), "--peers", "plain", status=2).stderr


@pytest.mark.parametrize(
    ("module", "option", "extra"),
    [
        ("psutil", [], "bench"),
        ("matplotlib", ["--plot", "x"], "bench"),
        ("matplotlib", ["--html", "x"], "html"),
        ("jinja2", ["--html", "x"], "html"),
    ],
)
def test_a_missing_tool_is_named_before_anything_is_run(
    module: str,
    option: list[str],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    stderr = commands.run("bench", *option, folder=tmp_path, status=2).stderr
    assert f"this needs {module}: pip install 'raybatch[{extra}]'" in stderr


def test_the_command_line_loads_no_peer() -> None:
    names = ("ray", "torch", "grain", "spdl", "datasets", "matplotlib", "psutil", "jinja2")
    program = f"import raybatch.cli, sys; print([n for n in {names} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
