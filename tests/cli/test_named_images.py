"""The argument IMAGES of commands: a data set has the same digest in every form."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import raybatch as rb
from raybatch.cli.bench_command import _in_files
from raybatch.cli.image_forms import images_named
from raybatch.cli.labelled_source import labelled_source
from tests.cli.commands import run

SIZE = ["--size", "16", "--actors", "0", "--json"]
CLASSES = ("cat", "dog")


@pytest.fixture
def forms(photos: list[str], tmp_path: Path) -> Path:
    """A folder with the same 40 images of two classes in every form, in the same order."""
    files = sorted(photos)
    labels = [CLASSES.index(Path(path).name[:3]) for path in files]
    for path, label in zip(files, labels, strict=True):
        target = tmp_path / "folder" / CLASSES[label] / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
    (tmp_path / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(tmp_path / "shards" / f"{shard}.tar", "w") as tar:
            for number in range(20 * shard, 20 * shard + 20):
                tar.add(files[number], f"{number:03}.jpg")
                cls = tarfile.TarInfo(f"{number:03}.cls")
                cls.size = 1
                tar.addfile(cls, io.BytesIO(str(labels[number]).encode()))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for number, (path, label) in enumerate(zip(files, labels, strict=True)):
            archive.write(path, f"{CLASSES[label]}/{number:03}.jpg")
    (tmp_path / "parquet").mkdir()
    features = {"info": {"features": {"label": {"names": list(CLASSES)}}}}
    cells = [Path(path).read_bytes() for path in files]
    table = pa.table({"image": cells, "label": labels}).replace_schema_metadata(
        {"huggingface": json.dumps(features)}
    )
    pyarrow.parquet.write_table(table, tmp_path / "parquet" / "0.parquet", row_group_size=16)
    rb.ImageList(files, labels, list(CLASSES)).save(tmp_path / "list.parquet")
    run("pack", "folder", "packed", "--size", "16", "--actors", "0", folder=tmp_path)
    return tmp_path


# Values of IMAGES, each with the names of its classes.
NAMES = {
    "folder": ["cat", "dog"],
    "folder/*/*.jpg": ["cat", "dog"],
    "folder/{cat,dog}/*.jpg": ["cat", "dog"],
    "shards": ["0", "1"],
    "shards/{0..1}.tar": ["0", "1"],
    "photos.zip": ["cat", "dog"],
    "parquet": ["cat", "dog"],
    "parquet/0.parquet": ["cat", "dog"],
    "list.parquet": ["cat", "dog"],
    "packed": ["cat", "dog"],
}


def told(command: str, name: str, *options: str, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(command, name, *options, folder=folder).stdout)
    return found


def test_every_form_gives_the_same_batches_and_classes(forms: Path) -> None:
    digests = {
        name: told("load", name, *SIZE, folder=forms)["epochs"][0]["digest"] for name in NAMES
    }
    assert set(digests.values()) == {digests["folder"]}
    for name, classes in NAMES.items():
        previewed = told("preview", name, "--size", "16", "--json", folder=forms)
        assert previewed["labels"] == [classes[0]] * 20 + [classes[1]] * 20, name


def test_every_form_is_scanned_packed_and_planned_for(forms: Path) -> None:
    for number, name in enumerate(NAMES):
        if name == "packed":
            continue
        found = told("scan", name, "--actors", "0", "--json", folder=forms)
        assert (found["readable"], list(found["classes"].values())) == (40, [20, 20]), name
        out = f"out{number}"
        packed = told("pack", name, out, *SIZE, folder=forms)
        assert packed["rows"] == 40
        first, other = rb.PackedAccessor(forms / "packed"), rb.PackedAccessor(forms / out)
        np.testing.assert_array_equal(other[np.arange(40)], first[np.arange(40)])
        assert other.column("label").tolist() == [0] * 20 + [1] * 20
        assert other.classes == NAMES[name]


def test_packed_images_have_the_size_that_they_have_or_the_one_that_is_asked_for(
    forms: Path,
) -> None:
    images = images_named(str(forms / "packed"))
    for options, wanted in (
        ({"size": None}, (16, 16)),
        ({"size": (8, 12)}, (8, 12)),
        ({"size": (8, 8), "transform": "train"}, (8, 8)),
    ):
        source, _ = labelled_source(images, **options)
        assert source.data[0][np.array([3])].shape == (1, *wanted, 3)
    said = run("load", "packed", "--mode", "L", folder=forms, status=2).stderr
    assert "--mode has no effect here: packed images are already decoded" in said


def test_files_to_leave_out_are_those_of_the_same_form(forms: Path) -> None:
    with tarfile.open(forms / "shards" / "2.tar", "w") as tar:
        for name, data in (("zz.jpg", b"no image"), ("zz.cls", b"0")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    options = ["--actors", "0", "--exclude-list", "bad.parquet"]
    run("scan", "shards", *options, folder=forms, status=1)
    load = ["load", "shards", *SIZE]
    assert told(*load, "--exclude", "bad.parquet", folder=forms)["images"] == 40
    skipped = json.loads(run(*load, "--bad-samples", "skip", folder=forms, status=1).stdout)
    assert [sample["index"] for sample in skipped["bad_samples"]] == [40]
    said = run("load", "folder", *SIZE, "--exclude", "bad.parquet", folder=forms, status=2).stderr
    assert "the list given to --exclude does not fit these images: it has image 40, but" in said
    assert "the last one here is 39: make a new list from these files" in said
    (forms / "folder" / "cat" / "0.jpg").write_text("no image")
    run("scan", "folder", *options, folder=forms, status=1)
    (forms / "folder" / "cat" / "0.jpg").unlink()
    said = run("load", "folder", *SIZE, "--exclude", "bad.parquet", folder=forms, status=2).stderr
    assert "the list given to --exclude does not fit these images: sample 0 in exclude was" in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no file or folder 'nowhere'. IMAGES is a folder of image files"),
        ("empty", "no image files below 'empty'. IMAGES is a folder"),
        ("", "IMAGES is empty. IMAGES is a folder"),
        ("texts", "no image files below 'texts'; there are 2 .bin. IMAGES is"),
        ("texts/0.bin", "by its suffix, 'texts/0.bin' is neither an image nor a shard"),
        ("one/none", "by its suffix, 'one/none' is neither an image nor a shard"),
        ("texts/*.jpg", "no file matches 'texts/*.jpg'"),
        ("*/*", "with these suffixes: .bin, .jpg, none. IMAGES is"),
    ],
)
def test_what_is_no_images_is_told_with_what_is_there(
    name: str, message: str, tmp_path: Path
) -> None:
    for folder, files in {
        "empty": [],
        "texts": ["0.bin", "1.bin"],
        "one": ["x.jpg", "none"],
    }.items():
        (tmp_path / folder).mkdir()
        for file in files:
            (tmp_path / folder / file).write_text("x")
    assert message in run("load", name, "--actors", "0", folder=tmp_path, status=2).stderr


def test_paths_are_shown_without_detours_but_for_links(forms: Path) -> None:
    found = told("scan", "./folder/../folder", "--actors", "0", "--json", folder=forms)
    assert found["root"] == "folder"
    # `..` after a link leads to the folder above the link's target.
    (forms / "elsewhere").mkdir()
    (forms / "elsewhere" / "link").symlink_to(forms / "folder" / "cat")
    there = told("load", "elsewhere/link/../dog", *SIZE, folder=forms)
    assert there["images"] == 20


def test_bench_reads_the_same_bytes_from_files_of_its_own(forms: Path) -> None:
    with _in_files(images_named(str(forms / "folder")), 7) as paths:
        wanted = [Path(path).read_bytes() for path in paths]
    assert len(set(wanted)) == 7
    for name in ("shards", "parquet", "photos.zip"):
        with _in_files(images_named(str(forms / name)), 7) as paths:
            assert [Path(path).read_bytes() for path in paths] == wanted
        assert not any(map(os.path.exists, paths))
    said = run("bench", "packed", "--peers", "plain", folder=forms, status=2).stderr
    assert "'packed' is a packed folder, whose images are already decoded" in said


def test_the_working_directory_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_text("no image")
    said = run("load", ".", "--actors", "0", folder=tmp_path, status=2).stderr
    assert f"'{tmp_path.resolve()}/one.jpg'" in said
    said = run("pack", "", "out", "--actors", "0", folder=tmp_path, status=2).stderr
    assert "IMAGES is empty" in said
