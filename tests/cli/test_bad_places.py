"""Commands on a failing disk, and on folders with broken images."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from raybatch.cli import main
from raybatch.retries import Retries
from raybatch.stores.local_files import LocalFiles

IMAGES = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of twenty images in two classes."""
    made = tmp_path / "images"
    for number in range(IMAGES):
        path = made / ("cat", "dog")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), "--actors", "0"])


def commands(folder: Path) -> dict[str, tuple[object, ...]]:
    return {
        "load": ("load", folder, "--size", "8"),
        "scan": ("scan", folder),
        "pack": ("pack", folder, folder.parent / "packed", "--size", "8", "--bad-samples", "skip"),
    }


@pytest.mark.parametrize("command", ["load", "scan", "pack"])
def test_a_disk_that_fails_ends_a_command_undone(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retries.__init__, "__defaults__", (4, 0.0, lambda seconds: None))
    read, opened = LocalFiles._open, []

    def failing(files: LocalFiles, path: str) -> IO[bytes]:
        opened.append(path)
        if path.endswith("05.png"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(files, path)

    monkeypatch.setattr(LocalFiles, "_open", failing)
    done = run(*commands(folder)[command])
    assert done.exit_code == 2
    assert "dog/05.png" in done.stderr
    assert "Input/output error" in done.stderr
    assert len([path for path in opened if path.endswith("05.png")]) >= 4, "it is tried again"


@pytest.mark.parametrize("command", ["load", "scan", "pack"])
def test_a_disk_that_fails_now_and_then_is_read_all_the_same(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retries.__init__, "__defaults__", (4, 0.0, lambda seconds: None))
    read, opened = LocalFiles._open, set()

    def failing(files: LocalFiles, path: str) -> IO[bytes]:
        if path not in opened:
            opened.add(path)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(files, path)

    monkeypatch.setattr(LocalFiles, "_open", failing)
    done = run(*commands(folder)[command])
    assert (done.exit_code, len(opened)) == (0, IMAGES)


def test_a_scan_names_all_that_are_broken_and_packing_ends_at_the_limit(folder: Path) -> None:
    for path in sorted(folder.rglob("*.png"))[:11]:
        path.write_bytes(b"no image")
    found = run("scan", folder, "--json")
    assert (found.exit_code, len(json.loads(found.stdout)["bad"])) == (1, 11)
    assert "11 of 20 samples could not be read" in found.stderr
    packed = run(*commands(folder)["pack"])
    assert packed.exit_code == 2
    assert "11 samples of epoch 0 cannot be read so far, and the limit is 10" in packed.stderr


def test_packing_tells_once_what_was_left_out(folder: Path) -> None:
    (folder / "cat" / "00.png").write_bytes(b"no image")
    packed = run(*commands(folder)["pack"], "--json")
    assert (packed.exit_code, json.loads(packed.stdout)["rows"]) == (1, IMAGES - 1)
    assert ": 1 of 20 samples could not be read, and were skipped" in packed.stderr
    assert packed.stderr.count("could not be read") == 1


@pytest.mark.parametrize("command", ["load", "scan", "pack"])
def test_an_image_that_is_left_out_is_named_once(folder: Path, command: str) -> None:
    (folder / "cat" / "00.png").write_bytes(b"no image")
    arguments = commands(folder)[command]
    if command == "load":
        arguments = (*arguments, "--bad-samples", "skip", "--epochs", "2")
    done = run(*arguments)
    assert done.exit_code == 1
    said = done.stdout + done.stderr
    assert said.count("00.png") == said.count("sample 0") == 1, said


def test_an_empty_folder_is_not_told_as_images_to_find(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    done = CliRunner().invoke(main, ["preview", str(folder), "--masks", str(tmp_path / "masks")])
    assert done.exit_code == 2
    assert "the folder of the samples is empty, or not mounted" in done.stderr
    assert "?." not in done.stderr
    assert "finds all such" not in done.stderr, "a scan of the images finds none"
    assert "check_sample" not in done.stderr, "no command has this argument"


@pytest.mark.parametrize("name", ["00.png", "09.png"])
def test_an_image_that_ends_a_command_can_be_left_out(folder: Path, name: str) -> None:
    (folder / "cat" / name).write_bytes(b"no image")
    done = run(*commands(folder)["load"])
    assert done.exit_code == 2
    assert 'cannot identify image file. With bad_samples="skip", such samples are' in done.stderr
    assert "`raybatch scan IMAGES --exclude-list bad.parquet` finds all such" in done.stderr
