"""A new loader reports boxes, keypoints and masks that do not move with their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch import notices
from raybatch.image import augment

FLIP = augment.RandomHorizontalFlip()
COUNT = 8


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_told", {})


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """The paths of images of 48 × 64 pixels (height × width)."""
    found = [str(tmp_path / f"{number}.png") for number in range(COUNT)]
    for path in found:
        Image.new("L", (64, 48)).save(path)
    return found


def ragged(*rows: Any) -> rb.RaggedArray:
    return rb.RaggedArray([list(rows)] * COUNT, dtype=np.float32)


PIXELS = ragged([10, 10, 60, 40])
FRACTIONS = ragged([0.1, 0.1, 0.6, 0.4])


def told_of(data: Any, caplog: pytest.LogCaptureFixture, fn: Any = None) -> list[str]:
    """Return the log messages of a new loader for a source with the fields `data`."""
    source: rb.DataSource = rb.ArrayDataSource(data)
    rb.Loader(source if fn is None else source.map_samples(fn), 4)
    return [record.getMessage() for record in caplog.records]


SCALED: dict[str, Any] = {"size": (32, 32)}
FLIPPED: dict[str, Any] = {"size": (48, 64), "transform": FLIP}


@pytest.mark.parametrize(
    ("reading", "name", "field", "why"),
    [
        (SCALED, "boxes", PIXELS, "which change from 48x64 to 32x32 pixels"),
        ({"size": (96, 128)}, "gt_bboxes", PIXELS, "which change from 48x64 to 96x128"),
        (SCALED, "box", np.full((COUNT, 4), 40.0), "which change"),
        ({**SCALED, "fit": "crop"}, "boxes", FRACTIONS, "which change"),
        (FLIPPED, "boxes", FRACTIONS, "which are cropped, flipped or turned at random"),
        (SCALED, "keypoints", np.full((COUNT, 5, 2), 40.0), "which change"),
        (FLIPPED, "landmarks", np.full((COUNT, 5, 3), 0.5), "at random"),
        (SCALED, "mask", np.zeros((COUNT, 48, 64), np.uint8), "which change"),
        (FLIPPED, "masks", np.zeros((COUNT, 3, 48, 64), bool), "at random"),
    ],
)
def test_a_field_that_stays_is_told(
    paths: list[str],
    caplog: pytest.LogCaptureFixture,
    reading: dict[str, Any],
    name: str,
    field: Any,
    why: str,
) -> None:
    images = rb.ImageFileAccessor(paths, **reading)
    (line,) = told_of({"image": images, name: field}, caplog)
    assert line.startswith(f"data[{name!r}] does not move with the images of data['image'], which")
    assert why in line
    assert f"={name!r}))" in line


@pytest.mark.parametrize(
    ("reading", "name", "field"),
    [
        (SCALED, "boxes", FRACTIONS),
        (SCALED, "boxes", ragged([4, 4, 30, 32])),  # these boxes fit the scaled image
        ({"size": (96, 128)}, "boxes", ragged([4, 4, 100, 90])),
        ({**FLIPPED, "transform": augment.ColorJitter(0.4)}, "boxes", PIXELS),
        (FLIPPED, "boxes_in_stock", np.full((COUNT, 3), 40)),
        (FLIPPED, "label", np.full((COUNT, 4), 40.0)),
        (SCALED, "mask", np.zeros((COUNT, 32, 32), np.uint8)),
        (FLIPPED, "masked_tokens", np.zeros((COUNT, 9), bool)),
        (SCALED, "boxes", ragged()),
    ],
)
def test_a_field_that_may_be_right_is_not_told(
    paths: list[str],
    caplog: pytest.LogCaptureFixture,
    reading: dict[str, Any],
    name: str,
    field: Any,
) -> None:
    images = rb.ImageFileAccessor(paths, **reading)
    assert told_of({"image": images, name: field}, caplog) == []


def test_fields_without_names(paths: list[str], caplog: pytest.LogCaptureFixture) -> None:
    images = rb.ImageFileAccessor(paths, **SCALED)
    labels = np.full((COUNT, 4), 40)
    (line,) = told_of([images, PIXELS, labels], caplog)
    assert line.startswith("data[1] does not move with the images of data[0]")


def test_one_of_several_fields_of_images_is_enough(
    paths: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    stored, small = rb.ImageFileAccessor(paths), rb.ImageFileAccessor(paths, **SCALED)
    assert told_of({"image": stored, "small": small, "boxes": PIXELS}, caplog) == []


def test_functions_of_the_program_may_scale(
    paths: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def scaling(sample: Any, rng: Any) -> Any:
        return {**sample, "boxes": sample["boxes"] / 2}

    for reading in (SCALED, {**SCALED, "fit": "crop"}):
        for boxes in (PIXELS, FRACTIONS):
            data = {"image": rb.ImageFileAccessor(paths, **reading), "boxes": boxes}
            assert told_of(data, caplog, scaling) == []
    flipped = {"image": rb.ImageFileAccessor(paths, **FLIPPED), "boxes": PIXELS}
    (line,) = told_of(flipped, caplog, scaling)
    assert "at random" in line


@pytest.mark.parametrize(
    ("own", "is_told"),
    [
        ({}, False),
        ({"transform": None}, True),
        ({"size": (24, 32)}, False),
        ({"fit": "crop"}, True),
    ],
)
def test_mask_files_beside_images(
    paths: list[str], caplog: pytest.LogCaptureFixture, own: dict[str, Any], is_told: bool
) -> None:
    reading: dict[str, Any] = {"size": (32, 32), "transform": FLIP}
    images = rb.ImageFileAccessor(paths, **reading)
    masks = rb.ImageFileAccessor(paths, mask=True, **{**reading, **own})
    lines = told_of({"image": images, "mask": masks}, caplog)
    assert ["give both accessors the same size and transform" in line for line in lines] == (
        [True] * is_told
    )


def test_the_cure_works(paths: list[str], caplog: pytest.LogCaptureFixture) -> None:
    images = rb.NonUniformImageFileAccessor(paths)
    change = augment.Compose([augment.Resize((24, 32)), FLIP])
    moved = change.on(image="image", boxes="boxes")
    source = rb.ArrayDataSource({"image": images, "boxes": PIXELS}).map_samples(moved)
    (batch,) = rb.Loader(source, COUNT, shuffle=True, seed=1)
    assert {tuple(row) for row in np.concatenate(batch["boxes"]).tolist()} == {
        (5, 5, 30, 20),
        (2, 5, 27, 20),
    }
    assert caplog.records == []


def test_labels_that_outlast_their_boxes_are_told(
    paths: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = {
        "image": rb.NonUniformImageFileAccessor(paths),
        "boxes": PIXELS,
        "kinds": rb.RaggedArray([[1]] * COUNT),
        "areas": rb.RaggedArray([[2.5]] * COUNT),
        "tokens": rb.RaggedArray([[1, 2]] * COUNT),
    }
    change = augment.RandomResizedCrop(32)
    moved = change.on(image="image", boxes="boxes", labels="areas")
    (told,) = told_of(data, caplog, moved)
    assert told.startswith("data['kinds'] has a row for each box of data['boxes'], and keeps the")
    assert "labels='kinds'" in told
    caplog.clear()
    both = change.on(image="image", boxes="boxes", labels=("kinds", "areas"))
    assert told_of(data, caplog, both) == []
    assert told_of(data, caplog, change.on(image="image")) == []


def test_boxes_that_cannot_be_those_of_their_image(
    paths: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    moved = FLIP.on(image="image", boxes="boxes")
    data = {"image": rb.ImageFileAccessor(paths, (8, 8)), "boxes": PIXELS}
    lines = told_of(data, caplog, moved)
    text = "the box [10.0, 10.0, 60.0, 40.0] lies outside its image of 8x8 pixels"
    assert [line.startswith(text) for line in lines] == [True, False]
    caplog.clear()
    (line,) = told_of({**data, "boxes": FRACTIONS}, caplog, moved)
    assert "lie in the first pixel" in line
    assert "relative=True" in line
