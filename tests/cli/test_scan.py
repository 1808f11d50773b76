"""`raybatch scan` and `raybatch preview`, and the parts that they use."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import raybatch as rb
from raybatch.accessors.image_facts import ImageFacts
from raybatch.image import augment
from raybatch.image.contact_sheet import contact_sheet
from tests.cli.commands import run, run_alone


@pytest.fixture
def mixed(photos: list[str], tmp_path: Path) -> Path:
    """A folder of two classes.

    It holds ten photos, a copy of one of them, a grey PNG, a PNG of 16 bits and two broken files.
    """
    root = tmp_path / "mixed"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
    for number, path in enumerate(photos[:10]):
        shutil.copy(path, root / ("cat", "dog")[number % 2] / f"{number:02}.jpg")
    shutil.copy(photos[3], root / "dog" / "copy.jpg")
    Image.new("L", (30, 20), 51).save(root / "cat" / "grey.png")
    Image.fromarray(np.full((8, 9), 40_000, np.uint16)).save(root / "dog" / "deep.png")
    (root / "dog" / "short.jpg").write_bytes(Path(photos[0]).read_bytes()[:900])
    (root / "cat" / "text.jpg").write_text("no image")
    return root


def scanned(*arguments: str, folder: Path, status: int) -> dict[str, Any]:
    result = run("scan", *arguments, "--json", folder=folder, status=status)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_scan_finds_what_there_is(
    mixed: Path, photos: list[str], tmp_path: Path, ray_cluster: None
) -> None:
    found = scanned("mixed", "--actors", "2", folder=tmp_path, status=1)
    assert (found["images"], found["readable"]) == (15, 13)
    assert found["formats"] == {"JPEG": 11, "PNG": 2}
    assert found["modes"] == {"RGB": 11, "L": 1, "I;16": 1}
    assert found["classes"] == {"cat": 6, "dog": 7}  # only readable images count
    assert found["sizes"]["smallest"] == [8, 9]
    assert [Path(sample["path"]).name for sample in found["bad"]] == ["text.jpg", "short.jpg"]
    assert "UnidentifiedImageError" in found["bad"][0]["message"]
    pair = [Path(path).relative_to(mixed).as_posix() for path in found["duplicates"][0]]
    assert (len(found["duplicates"]), pair) == (1, ["dog/03.jpg", "dog/copy.jpg"])
    # Every image has the same weight; the image of 16 bits does not count.
    images = [np.asarray(Image.open(path)) / 255 for path in [*photos[:10], photos[3]]]
    images.append(np.full((20, 30, 3), 51 / 255))
    mean = np.mean([image.mean(axis=(0, 1)) for image in images], axis=0)
    square = np.mean([(image**2).mean(axis=(0, 1)) for image in images], axis=0)
    np.testing.assert_allclose(found["mean"], mean, atol=6e-5)
    np.testing.assert_allclose(found["std"], np.sqrt(square - mean**2), atol=6e-5)


@pytest.mark.slow
def test_the_scan_does_not_depend_on_the_pool(
    mixed: Path, tmp_path: Path, ray_cluster: None
) -> None:
    alone = scanned("mixed", "--actors", "0", folder=tmp_path, status=1)
    assert scanned("mixed", "--actors", "2", folder=tmp_path, status=1) == alone


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_the_loader_takes_the_exclude_list(mixed: Path, tmp_path: Path, suffix: str) -> None:
    options = ["--actors", "0", "--exclude-list", f"bad.{suffix}", "--exclude-duplicates"]
    said = run("scan", "mixed", *options, folder=tmp_path, status=1).stdout
    advised = f'Loader(..., exclude="bad.{suffix}")'
    assert said.count(advised) == 2, "the broken files and the copies are in the list given"
    assert "raybatch scan" not in said
    images = rb.ImageFileAccessor(rb.image_folder(mixed).paths, size=(8, 8))
    source = rb.ArrayDataSource([images], include_indices=True)
    with rb.Loader(source, 4, exclude=tmp_path / f"bad.{suffix}") as loader:
        names = [Path(images.name_of(i)).name for batch in loader for i in batch[0].tolist()]
    assert sorted(names) == [*(f"{n:02}.jpg" for n in range(10)), "deep.png", "grey.png"]
    result = run(
        "load", "mixed", "--actors", "0", "--exclude", f"bad.{suffix}", "--json", folder=tmp_path
    )
    assert json.loads(result.stdout)["images"] == 12


def test_a_list_of_other_files_is_refused(mixed: Path, tmp_path: Path) -> None:
    options = ["--actors", "0", "--exclude-list", "my.jsonl"]
    said = run("scan", "mixed", *options, folder=tmp_path, status=1).stdout
    assert "raybatch scan mixed --exclude-list my.jsonl --exclude-duplicates" in said
    (mixed / "cat" / "text.jpg").unlink()
    source = rb.ArrayDataSource([rb.ImageFileAccessor(rb.image_folder(mixed).paths, (8, 8))])
    with pytest.raises(ValueError, match=r"in exclude was '.*text.jpg', but is '.*01.jpg' here"):
        rb.Loader(source, 4, exclude=tmp_path / "my.jsonl")


def test_a_sound_folder_gives_status_0(photos: list[str], tmp_path: Path) -> None:
    folder = str(Path(photos[0]).parent)
    result = run("scan", folder, "--actors", "0", "--exclude-list", "x.parquet", folder=tmp_path)
    assert "JPEG 40" in result.stdout
    assert "cannot be read" in result.stdout
    assert len(rb.BadSampleLedger.load(tmp_path / "x.parquet")) == 0


def test_scan_reads_urls(http: str, tmp_path: Path) -> None:
    found = scanned(f"{http}/", "--actors", "0", "--io-threads", "4", folder=tmp_path, status=0)
    assert (found["readable"], found["classes"]) == (40, {"cat": 20, "dog": 20})


def test_facts_of_one_image_are_those_of_the_stack(photos: list[str]) -> None:
    facts = ImageFacts(rb.ImageFileAccessor(photos))
    stack = facts[np.array([3, 1])]
    assert stack.shape == (2,)
    assert stack[1] == facts[1]
    assert stack["file_bytes"].tolist() == [os.path.getsize(photos[n]) for n in (3, 1)]


def test_orientation_is_counted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert scanned(".", "--actors", "0", folder=tmp_path, status=0)["exif_turned"] == 1


def test_names_with_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "[bold]x.jpg").write_text("no image")
    result = run("scan", ".", "--actors", "0", folder=tmp_path, status=1)
    assert "[bold]x.jpg" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "nowhere"], "there is no file or folder 'nowhere'"),
        (["scan", "."], "no image files below"),
        (["scan", ".", "--exclude-list", "x.txt"], "must end in .parquet or .jsonl"),
        (["scan", ".", "--exclude-duplicates"], "needs --exclude-list"),
        (["load", ".", "--exclude", "nowhere.jsonl"], "there is no file 'nowhere.jsonl'"),
        (["preview", ".", "--augment", "nothing"], "neither FILE.py:NAME nor"),
        (["preview", ".", "--augment", "no_module:x"], "cannot be imported"),
        (["preview", ".", "--augment", "os:sep"], "is a str, not a function"),
        (["preview", ".", "--out", "x.txt"], "must end in"),
    ],
)
def test_what_cannot_be_done_gives_status_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert message in run(*arguments, folder=tmp_path, status=2).stderr


def test_the_same_picture_in_two_classes_is_a_label_error(mixed: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    found = scanned("mixed", "--actors", "0", folder=tmp_path, status=1)
    assert found["label_errors"] == []  # a copy in the same class is no error
    assert not any("in two classes" in one["finding"] for one in found["advice"])
    (mixed / "cat" / "03.jpg").write_bytes((mixed / "dog" / "03.jpg").read_bytes())
    found = scanned("mixed", "--actors", "0", folder=tmp_path, status=1)
    ((one, *_),) = found["label_errors"]
    assert (one["class"], Path(one["path"]).name) == ("cat", "03.jpg")
    shown = run("scan", "mixed", "--actors", "0", "--html", "x.html", folder=tmp_path, status=1)
    for text in (shown.stdout, (tmp_path / "x.html").read_text()):
        assert "The same picture in two classes" in text
        assert "1 picture is in two classes, so one of their labels is wrong" in text


def captions_of(paths: list[str]) -> npt.NDArray[np.str_]:
    """Return the caption of each image: its index, its class and its name."""
    names = [Path(path).name for path in paths]
    return np.array([f"{index} {name[:3]}\n{name}" for index, name in enumerate(names)])


def test_preview_shows_what_the_loader_delivers(photos: list[str], tmp_path: Path) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--images", "9", "--shuffle", "3", "--epoch", "2", "--size", "20x30"]
    run("preview", folder, *options, "--fit", "crop", folder=tmp_path)
    images = rb.ImageFileAccessor(sorted(photos), (20, 30), fit="crop")
    labels = captions_of(sorted(photos))
    with rb.Loader(rb.ArrayDataSource([images, labels]), 9, shuffle=3) as loader:
        loader.set_epoch(2)
        wanted = contact_sheet(*next(iter(loader)))
    with Image.open(tmp_path / "preview.png") as sheet:
        assert sheet.tobytes() == wanted.tobytes()


def test_preview_shows_augmentation(photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "from raybatch.image import augment\nchange = augment.RandomResizedCrop(24)\n"
    )
    folder = str(Path(photos[0]).parent)
    # A module that the command imports stays in the process, so each command has its own process.
    options = ["preview", folder, "--images", "4", "--augment"]
    run_alone(*options, "train.py:change", folder=tmp_path)
    run_alone(*options, "train:change", "--out", "b.png", folder=tmp_path)

    def changed(image: Any, label: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        return augment.RandomResizedCrop(24)(image, rng=rng), label

    stored = rb.NonUniformImageFileAccessor(sorted(photos))
    labels = captions_of(sorted(photos))
    spread = np.linspace(0, 39, 4).astype(int)
    source = rb.ArrayDataSource([stored, labels], indices=spread).map_samples(changed)
    with rb.Loader(source, 4) as loader:
        wanted = contact_sheet(*next(iter(loader)))
    for name in ("preview.png", "b.png"):
        with Image.open(tmp_path / name) as sheet:
            assert sheet.tobytes() == wanted.tobytes()


def test_preview_shows_several_draws(photos: list[str], tmp_path: Path) -> None:
    folder = str(Path(photos[0]).parent)
    options = ["--images", "3", "--shuffle", "3", "--epoch", "2", "--size", "20x30"]
    run("preview", folder, *options, "--transform", "train", "--draws", "4", folder=tmp_path)
    change = augment.classification_train((20, 30))
    images = rb.ImageFileAccessor(sorted(photos), transform=change)
    source = rb.ArrayDataSource([images], include_indices=True)
    with rb.Loader(source, 3, shuffle=3) as loader:
        loader.set_epoch(2)
        indices, _ = next(iter(loader))
        drawn: list[Any] = []
        for epoch in range(2, 6):
            loader.set_epoch(epoch)
            epoch_of = {
                int(index): image for batch in loader for index, image in zip(*batch, strict=True)
            }
            drawn.append([epoch_of[int(index)] for index in indices])
    rows = [image for row in zip(*drawn, strict=True) for image in row]
    captions = captions_of(sorted(photos))
    labels = [captions[int(index)] for index in indices for _ in range(4)]
    wanted = contact_sheet(rows, labels, 4)
    with Image.open(tmp_path / "preview.png") as sheet:
        assert sheet.tobytes() == wanted.tobytes()


def test_preview_names_what_it_leaves_out(mixed: Path, tmp_path: Path) -> None:
    result = run("preview", "mixed", "--out", "s.jpg", folder=tmp_path)
    assert "s.jpg shows 13 images" in result.stdout
    assert "short.jpg" in result.stdout
    told = json.loads(run("preview", "mixed", "--out", "s.jpg", "--json", folder=tmp_path).stdout)
    assert (told["out"], len(told["labels"])) == ("s.jpg", 13)
    assert any("short.jpg" in each["path"] for each in told["left_out"])


def test_contact_sheets_of_any_batch() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255
    wanted = contact_sheet(pixels, "abc").tobytes()
    assert contact_sheet(list(map(Image.fromarray, pixels)), "abc").tobytes() == wanted
    assert contact_sheet(np.moveaxis(pixels, -1, 1), "abc").tobytes() == wanted
    # The lowest float is shown in black, the highest in white.
    floats = np.asarray(contact_sheet(pixels / 50 - 2, "abc"), int)
    assert np.abs(floats - np.asarray(contact_sheet(pixels, "abc"), int)).max() <= 1
    small = contact_sheet([Image.new("L", (900, 300)), Image.new("RGBA", (10, 20))], "ab", 1, 90)
    assert small.width == 90 + 12
    with pytest.raises(ValueError, match="not 1 labels for 2 images"):
        contact_sheet(pixels[:2], "a")
