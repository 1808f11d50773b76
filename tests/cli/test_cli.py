"""The commands, as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import raybatch as rb
from raybatch.image import augment
from tests.cli.commands import run, run_alone
from tests.drivers import alive, is_actor, wait_for


@pytest.mark.slow
def test_demo_makes_images_loads_them_both_ways_and_shows_them(tmp_path: Path) -> None:
    result = run_alone("demo", "--size", "32", folder=tmp_path)
    assert "1000 images, classes: cat, dog" in result.stdout
    digests = re.findall(r"[0-9a-f]{64}", result.stdout)
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert "They are equal" in result.stdout
    assert "\x1b" not in result.stdout
    with Image.open(tmp_path / "raybatch-demo.png") as sheet:
        assert sheet.width > 8 * 32
    assert [path.name for path in tmp_path.iterdir()] == ["raybatch-demo.png"]


def test_demo_of_a_folder_of_ones_own(photos: list[str], tmp_path: Path, ray_cluster: None) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--actors", "1", "--contact-sheet", "x.png", "--json"]
    told = json.loads(run("demo", folder, *options, folder=tmp_path).stdout)
    assert (told["images"], told["classes"], told["equal"]) == (40, ["cat", "dog"], True)
    assert len({each["digest"] for each in told["streams"].values()}) == 1
    assert told["contact_sheet"] == "x.png"
    assert (tmp_path / "x.png").exists()


def test_load_prints_figures_as_json(photos: list[str], tmp_path: Path, ray_cluster: None) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--size", "20x30", "--batch-size", "16", "--epochs", "2", "--shuffle", "0"]
    figures = {}
    for actors in ("0", "2"):
        result = run("load", folder, *options, "--actors", actors, "--json", folder=tmp_path)
        figures[actors] = json.loads(result.stdout)
    serial, pooled = figures["0"], figures["2"]
    assert serial["images"] == 40
    assert [(row["epoch"], row["images"], row["batches"]) for row in serial["epochs"]] == [
        (0, 40, 3),
        (1, 40, 3),
    ]
    assert all(row["images_per_s"] > 0 for row in serial["epochs"])
    digests = [row["digest"] for row in serial["epochs"]]
    assert digests == [row["digest"] for row in pooled["epochs"]]
    assert digests[0] != digests[1]


def test_the_digest_is_that_of_the_library(photos: list[str], tmp_path: Path) -> None:
    folder = Path(photos[0]).parent
    result = run("load", str(folder), "--size", "24", "--actors", "0", "--json", folder=tmp_path)
    from raybatch.cli.image_forms import images_named
    from raybatch.cli.labelled_source import labelled_source

    source, names = labelled_source(images_named(str(folder)), (24, 24))
    assert names == ["cat", "dog"]
    with rb.Loader(source, 64) as loader:
        digest = rb.stream_digest(loader)
    assert json.loads(result.stdout)["epochs"][0]["digest"] == digest


@pytest.mark.parametrize("name", ["train", "eval"])
def test_load_transforms(name: str, photos: list[str], tmp_path: Path) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--size", "20x30", "--batch-size", "16", "--shuffle", "5", "--actors", "0", "--json"]
    told = json.loads(run("load", folder, "--transform", name, *options, folder=tmp_path).stdout)
    paths = sorted(photos)
    change = {"train": augment.classification_train, "eval": augment.classification_eval}[name]
    images = rb.ImageFileAccessor(paths, transform=change((20, 30)))
    labels = np.array([Path(path).name.startswith("dog") for path in paths], np.int32)
    loader = rb.Loader(rb.ArrayDataSource([images, labels]), 16, shuffle=5)
    assert told["epochs"][0]["digest"] == rb.stream_digest(loader)
    assert told["training_images_per_s"] is None


def test_load_prints_a_table(photos: list[str], tmp_path: Path) -> None:
    result = run("load", str(Path(photos[0]).parent), "--actors", "0", folder=tmp_path)
    assert "images/s" in result.stdout
    assert re.search(r"^\d+ images/s with random crops and flips", result.stdout, re.MULTILINE)
    assert re.search(r"^digest of epoch 0: [0-9a-f]{64}$", result.stdout, re.MULTILINE)
    assert "\x1b" not in result.stdout


def test_class_folders_give_the_labels(photos: list[str], tmp_path: Path) -> None:
    from raybatch.cli.image_forms import images_named
    from raybatch.cli.labelled_source import labelled_source

    for number, path in enumerate(photos):
        target = tmp_path / ("owl", "elk")[number % 2] / Path(path).name
        target.parent.mkdir(exist_ok=True)
        os.link(path, target)
    source, names = labelled_source(images_named(str(tmp_path)), (8, 8))
    assert names == ["elk", "owl"]
    assert source.data[1].tolist() == [0] * 20 + [1] * 20


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["load", "nowhere"], 2, "nowhere"),
        (["load", "."], 2, "no image files below"),
        (["load", ".", "--actors", "100000"], 2, "16 for each CPU"),
        (["load", ".", "--size", "0"], 2, "is neither an edge"),
        (["load", ".", "--size", "1x2x3"], 2, "is neither an edge"),
        (["load", ".", "--batch-size", "0"], 2, "--batch-size"),
        (["load", ".", "--shuffle", "-1"], 2, "--shuffle"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], status: int, message: str, tmp_path: Path
) -> None:
    assert message in run(*arguments, folder=tmp_path, status=status).stderr


def test_a_broken_image_is_named(photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    result = run("load", ".", "--actors", "0", folder=tmp_path, status=2)
    assert "bad.jpg" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_and_version(tmp_path: Path) -> None:
    shown = run_alone("--help", folder=tmp_path, COLUMNS="80").stdout
    assert "demo" in shown
    assert "..." not in shown.partition("Commands:")[2]  # no summary is cut off
    for command in ("load", "scan", "preview", "pack", "plan"):
        assert "a folder that `raybatch pack` wrote" in " ".join(
            run(command, "--help", folder=tmp_path).stdout.split()
        )
    assert rb.__version__ in run_alone("--version", folder=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [["load", "--epochs", "10000"], ["pack", "--size", "8"]])
def test_ctrl_c_ends_a_command_at_once_and_leaves_nothing(
    command: list[str], photos: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2000):  # so many that the command is still at work when it is interrupted
        os.link(photos[number % len(photos)], folder / f"{number}.jpg")
    name, *options = command
    places = [str(folder), str(tmp_path / "out")] if name == "pack" else [str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "raybatch", name, *places, *options, "--actors", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    below: list[psutil.Process] = []

    def is_at_work() -> bool:
        below[:] = alive(psutil.Process(process.pid).children(recursive=True))
        return any(is_actor(each) for each in below)

    with process:
        wait_for(is_at_work, "an actor", 60)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: process.poll() is not None, "the end", 30)
        _, errors = process.communicate()
    wait_for(lambda: not alive(below), "no process below", 30)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "Aborted!"
    assert "Traceback" not in errors


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    for words, wanted in (("raybatch p", "pack plan preview"), ("raybatch load --sh", "--shuffle")):
        count = str(len(words.split()) - 1)
        result = run_alone(
            folder=tmp_path,
            _RAYBATCH_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=count,
        )
        assert [line.removeprefix("plain,") for line in result.stdout.split()] == wanted.split()
