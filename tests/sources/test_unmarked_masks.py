"""A new loader reports mask files that are read without mask=True."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch import notices


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_told", {})


CLASSES = np.arange(48, dtype=np.uint8).reshape(6, 8) % 5
PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def file(path: Path, pixels: Any, mode: str | None = None) -> list[str]:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette(range(250, 10, -1))
    elif mode is not None:
        image = image.convert(mode)
    image.save(path)
    return [str(path)]


def lines_of(data: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    rb.Loader(pickle.loads(pickle.dumps(rb.ArrayDataSource(data))), 1)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("mode", [None, "P", "1"])
@pytest.mark.parametrize(
    ("place", "key"),
    [("masks/0", "y"), ("SegmentationClass/0", "y"), ("a/0_gt", "y"), ("a/0", "mask")],
)
def test_a_mask_that_its_name_tells(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str | None, place: str, key: str
) -> None:
    paths = file(tmp_path / f"{place}.png", CLASSES * 60, mode)
    (line,) = lines_of({key: rb.ImageFileAccessor(paths, (4, 4))}, caplog)
    assert f".png' of data[{key!r}] looks like a mask: its pixels have the values 0, 1" in line or (
        "values 0, 60, 120" in line
    )
    assert "Give mask=True" in line
    notices._told.clear()
    for given in ({"mask": True}, {"mode": "RGB"}):
        assert lines_of({key: rb.ImageFileAccessor(paths, (4, 4), **given)}, caplog) == []


def test_a_mask_that_its_values_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo = rb.ImageFileAccessor(file(tmp_path / "a" / "0.png", PHOTO), (4, 4))
    low = CLASSES.copy()
    low[0, 0] = 255
    classes = rb.ImageFileAccessor(file(tmp_path / "b" / "0.png", low), (4, 4))
    (line,) = lines_of([photo, classes], caplog)
    assert "of data[1] looks like a mask: its pixels have the values 0, 1, 2, 3, 4, 255" in line
    notices._told.clear()
    assert lines_of([classes], caplog) == []
    sizes = np.array([[4, 4]])
    each = rb.ImageFileAccessor(classes.paths, sizes)
    assert len(lines_of([photo, each], caplog)) == 1
    notices._told.clear()
    assert lines_of([photo, rb.ImageFileAccessor(classes.paths, sizes, mode="RGB")], caplog) == []


@pytest.mark.parametrize(
    ("place", "pixels"),
    [
        ("masks/0", np.dstack([CLASSES * 60, CLASSES, CLASSES])),  # colours instead of classes
        ("masks/0", PHOTO[..., 0]),  # too many different values
        ("a/0", CLASSES * 60),
        ("masks/0", np.zeros((6, 8), np.uint8)),
        ("unlabelled/0", CLASSES * 60),
    ],
)
def test_what_may_be_an_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, pixels: Any
) -> None:
    photo = rb.ImageFileAccessor(file(tmp_path / "p" / "0.png", PHOTO), (4, 4))
    other = rb.ImageFileAccessor(file(tmp_path / f"{place}.png", pixels), (4, 4))
    assert lines_of({"image": photo, "other": other}, caplog) == []
