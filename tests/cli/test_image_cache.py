"""The option --cache of commands: images at URLs are fetched once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.servers import http_server


def test_commands_fetch_each_image_once(photos: list[str], tmp_path: Path) -> None:
    folder, state, log = tmp_path / "served", tmp_path / "state", tmp_path / "log"
    folder.mkdir()
    state.mkdir()
    for path in photos[:4]:
        shutil.copy(path, folder)
    with http_server(folder, state, log=log) as port:
        url = f"http://127.0.0.1:{port}/"
        cached = ("--cache", "cache", "--cache-gb", "0.5")
        run("load", url, "--size", "8", "--actors", "0", *cached, folder=tmp_path)
        run("scan", url, "--actors", "0", *cached, folder=tmp_path)
        run("preview", url, "--out", "sheet.png", *cached, folder=tmp_path)
        run("pack", url, "packed", "--size", "8", "--actors", "0", *cached, folder=tmp_path)
    fetched = [line for line in log.read_text().splitlines() if "GET /" in line and ".jpg" in line]
    assert len(fetched) == 4, fetched


def test_the_url_of_one_image_is_that_image(photos: list[str], tmp_path: Path) -> None:
    shutil.copy(photos[0], tmp_path / "one.jpg")
    with http_server(tmp_path, tmp_path, log=tmp_path / "log") as port:
        url = f"http://127.0.0.1:{port}/"
        options = ("--size", "8", "--actors", "0")
        run("load", f"{url}one.jpg", *options, folder=tmp_path)
        absent = run("load", f"{url}absent.jpg", *options, folder=tmp_path, status=2)
    assert f"'{url}absent.jpg': FileNotFoundError" in absent.stderr


def test_a_cache_without_effect_is_told(
    photos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("raybatch.notices._told", {})  # a notice is shown once per process
    folder = str(Path(photos[0]).parent)
    arguments = ("--size", "8", "--actors", "0")
    done = run("pack", folder, "packed", *arguments, "--cache", "cache", folder=tmp_path)
    assert "cache= has no effect here" in done.stderr
    done = run("load", "packed", "--actors", "0", "--cache", "cache", folder=tmp_path, status=2)
    assert "--cache has no effect here: packed images are on this machine" in done.stderr
