"""The numbers of classes, and files that are left out because they are not images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
import pytest
from PIL import Image

import raybatch as rb
from raybatch.stores.listing import find_images
from tests.servers import s3_filesystem


def make(root: Path, names: Iterable[str]) -> Path:
    """Make files with these names below `root`; a name that ends in a slash makes a folder.

    A file named *.png is a small image; other files are not images.
    """
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif path.suffix == ".png":
            Image.new("RGB", (4, 4)).save(path)
        else:
            path.write_bytes(b"x")
    return root


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_class_without_images_keeps_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make(tmp_path, ["a/1.png", "b/", "c/1.png", "d/x.heic", ".git/", "__MACOSX/"])
    images = rb.image_folder(root)
    assert (images.classes, images.labels.tolist()) == (["a", "b", "c", "d"], [0, 2])
    (line,) = [text for text in told(caplog) if "class folders" in text]
    assert (
        line == f"2 of the 4 class folders in {str(root)!r} hold no images, but keep their numbers:"
        " 'b', 'd'"
    )


def test_classes_fix_the_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = rb.image_folder(make(tmp_path / "train", ["a/1.png", "b/1.png", "c/1.png"]))
    root = make(tmp_path / "validation", ["a/1.png", "c/1.png", "notes/"])
    assert rb.image_folder(root, classes=training.classes).labels.tolist() == [0, 2]
    backwards = rb.image_folder(root, classes=("c", "b", "a"))
    assert (backwards.classes, backwards.labels.tolist()) == (["c", "b", "a"], [2, 0])
    assert told(caplog) == []


@pytest.mark.parametrize(
    ("classes", "error", "words"),
    [
        (["a", "b"], ValueError, "there are images of 'c', which `classes` does not have"),
        (["a", "c", "a"], ValueError, "'a' is given twice"),
        ("ac", TypeError, "must be a list of strings, not 'ac'"),
        ([0, 1], TypeError, "must be a list of strings"),
    ],
)
def test_classes_that_do_not_fit_are_refused(
    tmp_path: Path, classes: Any, error: type[Exception], words: str
) -> None:
    root = make(tmp_path, ["a/1.png", "c/1.png"])
    for function in (rb.image_folder, lambda *a, **k: rb.to_parquet(a[0], tmp_path / "out", **k)):
        with pytest.raises(error, match=words):
            function(root, classes=classes)


@pytest.mark.parametrize("kind", ["s3", "fsspec"])
def test_a_folder_without_images_is_a_class_elsewhere_too(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "s3":
        filesystem = s3_filesystem(request.getfixturevalue("s3"), allow_bucket_creation=True)
        for folder in ("a", "b", ".hidden", "c"):
            filesystem.create_dir(f"classes/set/{folder}")
        for name in ("a/1.png", "c/1.png", "c/.2.png"):
            with filesystem.open_output_stream(f"classes/set/{name}") as stream:
                stream.write(b"x")
        root = "classes/set"
    else:
        filesystem, root = fsspec.filesystem("memory"), "/classes/set"
        for name in ("a/1.png", "b/x.txt", "c/1.png", "c/.2.png", "__MACOSX/1.png"):
            filesystem.pipe_file(f"{root}/{name}", b"x")
    images = rb.image_folder(root, filesystem=filesystem)
    assert (images.classes, images.labels.tolist()) == (["a", "b", "c"], [0, 2])
    fixed = rb.image_folder(root, filesystem=filesystem, classes=["c", "a"])
    assert fixed.labels.tolist() == [1, 0]


def test_parquet_files_have_the_classes_that_were_given(tmp_path: Path) -> None:
    root = make(tmp_path / "pets", ["b/1.png", "d/1.png", "e/"])

    def written(images: Any, **settings: Any) -> tuple[list[int], Any]:
        (file,) = rb.to_parquet(images, tmp_path / "out.parquet", **settings)
        labels = rb.ParquetImageAccessor(file, size=(4, 4)).column("label").tolist()
        return labels, pyarrow.parquet.read_schema(file).metadata[b"huggingface"].decode()

    labels, about = written(root)
    assert labels == [0, 1]
    assert '["b", "d", "e"]' in about
    labels, about = written(root, classes=list("abcde"))
    assert labels == [1, 3]
    assert '["a", "b", "c", "d", "e"]' in about
    labels, about = written(find_images(root), labels=[1, 0], classes=["x", "y"])
    assert labels == [1, 0]
    assert '["x", "y"]' in about
    for images, settings, words in (
        (find_images(root), {"classes": ["x"]}, "give labels, or a folder"),
        (find_images(root), {"labels": [0, 1], "classes": ["x"]}, "label 1 is none of the 1"),
        (rb.image_folder(root), {"classes": list("abcde")}, "has its own classes"),
    ):
        with pytest.raises(ValueError, match=words):
            written(images, **settings)


def test_files_that_are_no_images_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["1.png", "2.HEIC", "3.heic", "4.jpg_large", "5", "6.JPG~", ".DS_Store", "._1.heic"]
    root = make(tmp_path, [f"cat/{name}" for name in [*names, "labels.csv", "readme.md"]])
    for _ in range(2):
        assert len(find_images(root)) == len(rb.image_folder(root).paths) == 1
    assert told(caplog) == [
        f"left out below {str(root)!r}, because their suffixes are not those of images: 2 .heic, 1"
        " without a suffix, 1 .jpg_large, 1 .jpg~; one is 'cat/2.HEIC'. Convert or rename those"
        " that are images"
    ]
    (root / "cat/1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no image files below .*; there are 2 \.heic, 1 "):
        find_images(root)


def test_a_program_without_logging_sees_it_on_the_standard_error(tmp_path: Path) -> None:
    root = make(tmp_path, ["cat/1.png", "cat/2.heic"])
    program = "import sys, raybatch as rb; [rb.image_folder(sys.argv[1]) for _ in range(2)]"
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("raybatch: left out below")
    program = f"import logging; logging.basicConfig(); {program}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("WARNING:raybatch:left out below")
