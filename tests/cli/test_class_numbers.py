"""Commands give classes the same numbers in every split, and report files that are left out."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

import raybatch as rb
from raybatch.cli import main
from raybatch.cli.diagnosis import of_folder
from raybatch.cli.host_facts import look
from raybatch.cli.image_forms import _numbered
from tests.stores.test_classes import make


@pytest.fixture
def splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the folders `train` and `val`.

    `train` has the classes a, b and c. `val` has no class b, and its class `new` is empty.
    """
    make(tmp_path / "train", ["a/1.png", "b/1.png", "c/1.png"])
    make(tmp_path / "val", ["a/1.png", "c/1.png", "c/2.heic", "c/._1.png", "new/"])
    (tmp_path / "names.txt").write_text("c\nb\na\n\n")
    rb.image_folder(tmp_path / "train").save(tmp_path / "train.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done


@pytest.mark.parametrize("classes", ["train", "train.parquet", "packed_train", "names.txt"])
def test_classes_are_numbered_as_elsewhere(splits: Path, classes: str) -> None:
    if classes == "packed_train":
        run("pack", "train", classes, "--size", "4", "--actors", "0")
    run("pack", "val", "packed", "--size", "4", "--actors", "0", "--classes", classes)
    packed = rb.PackedAccessor("packed")
    wanted = ("cba", [2, 0]) if classes == "names.txt" else ("abc", [0, 2])
    assert (packed.classes, packed.column("label").tolist()) == (list(wanted[0]), wanted[1])

    def digest(command: str, *options: str) -> str:
        done = run(command, "val", "--size", "4", "--actors", "0", "--json", *options)
        value: str = json.loads(done.stdout)["epochs"][0]["digest"]
        return value

    labels = rb.image_folder("val", classes=list(wanted[0])).labels.astype("int32")
    images = rb.ImageFileAccessor(rb.image_folder("val").paths, (4, 4))
    with rb.Loader(rb.ArrayDataSource([images, labels]), 64) as loader:
        assert digest("load", "--classes", classes) == rb.stream_digest(loader)


def test_without_them_a_folder_without_images_keeps_its_number(splits: Path) -> None:
    run("pack", "val", "packed", "--size", "4", "--actors", "0")
    assert rb.PackedAccessor("packed").classes == ["a", "c", "new"]
    # If the names of files determine the classes, an empty folder is not a class.
    make(splits / "flat", ["dog_1.png", "cat_1.png", "notes/"])
    run("pack", "flat", "packed_flat", "--size", "4", "--actors", "0")
    assert rb.PackedAccessor("packed_flat").classes == ["cat", "dog"]


def test_scan_counts_what_is_left_out_and_classes_without_images(splits: Path) -> None:
    found = json.loads(run("scan", "val", "--actors", "0", "--json").stdout)
    assert found["classes"] == {"a": 1, "c": 1, "new": 0}
    assert found["left_out"] == {".heic": 1}
    shown = run("scan", "val", "--actors", "0", "--classes", "train")
    assert "1 .heic" in shown.stdout
    assert "a 1, b 0, c 1" in shown.stdout


def test_the_page_of_a_scan_says_what_to_do(splits: Path) -> None:
    pytest.importorskip("jinja2")
    run("scan", "val", "--actors", "0", "--html", "scan.html")
    page = Path("scan.html").read_text()
    assert "left out, since their suffix is not an image&#39;s: 1 .heic" in page
    assert "These classes have no readable images: new" in page
    assert "images of a and 0" not in page


def test_doctor_tells(splits: Path) -> None:
    findings = json.loads(run("doctor", "val", "train", "--json").stdout)
    by_check = {finding["check"]: finding for finding in findings}
    val, train = by_check[f"images below {splits}/val"], by_check[f"images below {splits}/train"]
    assert (val["status"], train["status"], train["seen"]) == ("warning", "ok", "3")
    assert val["seen"] == "2; left out, since the suffix is not an image's: 1 .heic"
    classes = by_check[f"classes below {splits}/val"]
    assert (classes["status"], classes["seen"]) == ("warning", "no images in 'new', of 3 classes")
    assert f"classes below {splits}/train" not in by_check


def test_doctor_reads_a_url_of_class_folders_alone() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("a/1.png", "b/1.png"):
        memory.pipe_file(f"/doctor/set/{name}", b"x")
    assert look(["memory://doctor/set"]).unreadable == {}
    assert "memory://doctor/none" in look(["memory://doctor/none"]).unreadable
    (finding,) = of_folder("memory://doctor/set")
    assert (finding.status, finding.seen) == ("ok", "2")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("train/a", "it is empty"),
        ("nowhere", "'nowhere' does not name classes"),
        ("few.txt", "there are images of 'c', which `classes` does not have"),
        ("twice.txt", "'a' is given twice"),
    ],
)
def test_classes_that_do_not_fit_are_refused(splits: Path, classes: str, message: str) -> None:
    Path("few.txt").write_text("a\nb\n")
    Path("twice.txt").write_text("a\nc\na\n")
    for command in (["load", "val"], ["scan", "val"], ["preview", "val"], ["pack", "val", "x"]):
        done = run(*command, "--classes", classes, status=2)
        assert message in " ".join(done.stderr.split())
    assert not Path("x").exists()


def test_numbers_beside_the_named_classes_do_not_shift_them() -> None:
    labels, names = _numbered(np.array([-1, 0, 1, 7]), ["cat", "dog"])
    assert (labels.tolist(), names) == ([2, 0, 1, 3], ["cat", "dog", "-1", "7"])
    labels, names = _numbered(np.array([-1, 0, 2]))
    assert (labels.tolist(), names) == ([3, 0, 2], ["0", "1", "2", "-1"])
