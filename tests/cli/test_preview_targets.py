"""`raybatch preview` draws masks and boxes where the augmentation moved them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from tests.cli.commands import run, run_alone

WIDTH, HEIGHT = 96, 64
MARGIN = 6
RED, GREEN = (128, 0, 0), (0, 128, 0)  # VOC's colours of the classes 1 and 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image, its mask, its box and two transforms.

    The image is grey with a white block. The mask has class 1 on the block, and the box has class 2
    around it. The transforms rotate by 90° and flip.
    """
    image = np.full((HEIGHT, WIDTH), 60, np.uint8)
    image[8:24, 16:48] = 255
    mask = Image.fromarray((image == 255).astype(np.uint8)).convert("P")
    mask.putpalette([7, 7, 7, 9, 9, 9])
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "masks/a").mkdir(parents=True)
    Image.fromarray(image).convert("RGB").save(tmp_path / "images/a/1.png")
    mask.save(tmp_path / "masks/a/1.png")
    annotation = {"image_id": 5, "bbox": [16, 8, 32, 16], "category_id": 2}
    coco = {"images": [{"id": 5, "file_name": "a/1.png"}], "annotations": [annotation]}
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    (tmp_path / "train.py").write_text(
        "from raybatch.image import augment\n"
        "turn = augment.RandomRotation((90, 90), expand=True)\n"
        "flip = augment.RandomHorizontalFlip(p=1)\n"
    )
    return tmp_path


def sheet(folder: Path, width: int, height: int, out: str = "preview.png") -> Any:
    with Image.open(folder / out) as page:
        return np.asarray(page)[MARGIN : MARGIN + height, MARGIN : MARGIN + width].astype(int)


def extent(found: Any) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(found)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_mask_and_box_are_where_the_augmentation_moved_them(folder: Path) -> None:
    options = ["--masks", "masks", "--boxes", "boxes.json", "--augment", "train.py:turn"]
    run_alone("preview", "images", *options, folder=folder)
    page = sheet(folder, HEIGHT, WIDTH)  # the image is turned to the left by 90°
    turned = (8, WIDTH - 48, 24, WIDTH - 16)
    assert extent((page == GREEN).all(-1)) == turned
    # Inside the line of the box, the block is half white and half red.
    assert extent((abs(page - (191, 127, 127)) < 2).all(-1)) == (10, WIDTH - 46, 22, WIDTH - 18)
    assert (page[:, 30:] == 60).all()


def test_masks_are_drawn_into_what_a_transform_and_a_size_make(folder: Path) -> None:
    size = ["--size", f"{HEIGHT * 2}x{WIDTH * 2}"]
    for options, wanted in (
        ([], (32, 16, 96, 48)),
        (["--augment", "train.py:flip"], (96, 16, 160, 48)),
    ):
        run_alone("preview", "images", "--masks", "masks", *size, *options, folder=folder)
        page = sheet(folder, WIDTH * 2, HEIGHT * 2)
        assert extent((page[..., 0] - page[..., 1]) > 20) == wanted
    draws = ["--transform", "train", "--draws", "3", "--shuffle", "1"]
    run("preview", "images", "--masks", "masks", *size, *draws, folder=folder)
    page = sheet(folder, 3 * (WIDTH * 2 + MARGIN), HEIGHT * 2)
    page = page[:, np.arange(page.shape[1]) % (WIDTH * 2 + MARGIN) < WIDTH * 2]  # without margins
    # In the random crops, red pixels are bright and bright pixels are red, except at the edges.
    is_red, is_bright = (page[..., 0] - page[..., 1]) > 20, page[..., 1] > 110
    assert is_red.mean() > 0.05
    assert np.mean(is_red != is_bright) < 0.03


def test_what_is_not_there_is_named(folder: Path) -> None:
    (folder / "masks/a/1.png").rename(folder / "masks/a/2.png")
    done = run("preview", "images", "--masks", "masks", folder=folder, status=1)
    assert str(Path("masks/a/1.png")) in done.stdout + done.stderr
    (folder / "other.json").write_text('{"images": [], "annotations": []}')
    for options, message in (
        (["--boxes", "boxes.json", "--size", "64"], "--boxes are in pixels of the stored images"),
        (["--boxes", "train.py"], "is not a file of boxes in COCO's format"),
        (["--boxes", "other.json"], "has no box for any image below 'images'"),
    ):
        assert message in run("preview", "images", *options, folder=folder, status=2).stderr


def test_the_mode_of_images_is_not_that_of_masks(folder: Path) -> None:
    run("preview", "images", "--masks", "masks", "--mode", "RGBA", folder=folder)
    paths = [str(folder / "images/a/1.png")]
    rb.to_parquet(paths, folder / "t.parquet")
    done = run("preview", "t.parquet", "--masks", "masks", folder=folder, status=2)
    assert "--masks needs images with names, and those in Parquet files have none" in done.stderr
