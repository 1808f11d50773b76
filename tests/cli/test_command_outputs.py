"""Outputs of commands: bad places are refused before the work, and results are not lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import raybatch as rb
from raybatch.cli import main
from tests.stores.test_outputs import full_disk, noisy

__all__ = ["noisy"]


@pytest.fixture
def folder(noisy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the folder `noisy`."""
    monkeypatch.chdir(noisy.parent)
    return noisy.parent


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done


@pytest.mark.parametrize(
    "command",
    [
        ["scan", "noisy", "--exclude-list", "s3://bucket/x.parquet"],
        ["scan", "noisy", "--html", "s3://bucket/x.html"],
        ["preview", "noisy", "--out", "s3://bucket/x.png"],
        ["pack", "noisy", "s3://bucket/x"],
        ["demo", "noisy", "--contact-sheet", "s3://bucket/x.png"],
        ["bench", "noisy", "--plot", "s3://bucket/x.png"],
        ["bench", "noisy", "--html", "s3://bucket/x.html"],
    ],
    ids=" ".join,
)
def test_a_url_is_refused_before_the_work(folder: Path, command: list[str]) -> None:
    for scheme in ("s3:", "gs:"):
        (folder / scheme / "bucket").mkdir(parents=True)  # a local path like the URL
    before = sorted(folder.rglob("*"))
    done = run(*command, status=2)
    assert "is a URL, but this must be a path on a disk" in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "command",
    [
        ["scan", "noisy", "--exclude-list", "out/x.parquet"],
        ["preview", "noisy", "--out", "out/x.png"],
        ["demo", "noisy", "--contact-sheet", "out/x.png"],
        ["bench", "noisy", "--plot", "out/x.png"],
    ],
    ids=" ".join,
)
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "out").mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != Path("out") and may(path, mode))
    done = run(*command, status=2)
    assert "cannot write to 'out'" in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_scan_shows_what_it_found_though_the_disk_is_full(folder: Path) -> None:
    pytest.importorskip("jinja2")
    outputs = ["--exclude-list", "bad.parquet", "--html", "scan.html"]
    (folder / "noisy" / "a" / "x.jpg").write_bytes(b"no image")
    with full_disk(1000):
        done = run("scan", "noisy", "--actors", "0", "--json", *outputs, status=2)
    assert json.loads(done.stdout)["readable"] == 3
    for name in outputs[1::2]:
        assert f"File too large: '{name}'" in done.stderr
    assert os.listdir() == ["noisy"]


def test_half_a_picture_is_none(folder: Path) -> None:
    with full_disk(1000):
        done = run("preview", "noisy", "--out", "sheet.png", status=2)
    assert "File too large: 'sheet.png'" in done.stderr
    assert os.listdir() == ["noisy"]


def test_a_demo_shows_its_figures_though_the_disk_is_full(ray_cluster: None, folder: Path) -> None:
    with full_disk(1000):
        done = run("demo", "noisy", "--contact-sheet", "sheet.png", "--json", status=2)
    assert json.loads(done.stdout)["equal"]
    assert "File too large: 'sheet.png'" in done.stderr


def test_names_that_are_not_valid_utf_8_end_in_no_traceback(folder: Path) -> None:
    odd = os.fsdecode(b"noisy/\xfe")
    os.rename("noisy/a", odd)
    Path(os.fsdecode(b"noisy/\xfe/\xff.jpg")).write_bytes(b"no image")

    def alone(*arguments: str, status: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "raybatch", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    def here(*arguments: str, status: int) -> str:
        return run(*arguments, status=status).stdout

    shown = alone("scan", "noisy", "--actors", "0", status=1)
    assert r"\udcfe 3" in shown
    for suffix in ("parquet", "jsonl"):
        outputs = ["--exclude-list", f"bad.{suffix}", "--json"]
        found = json.loads(here("scan", "noisy", "--actors", "0", *outputs, status=1))
        assert list(found["classes"]) == ["\udcfe"]
        (bad,) = rb.BadSampleLedger.load(f"bad.{suffix}")
        assert bad.path == found["bad"][0]["path"]
        assert os.path.exists(bad.path)
        exclude = ["--exclude", f"bad.{suffix}"]
        here("preview", "noisy", *exclude, status=0)
    here("pack", "noisy", "packed", "--actors", "0", *exclude, status=0)
    assert rb.PackedAccessor("packed").classes == ["\udcfe"]
