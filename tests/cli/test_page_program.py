"""A program from BatchUp's documentation, with its own accessors, runs locally and on Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from tests.cli import page_program

PAGE: Any = page_program

# The program leaves it to the garbage collector to close files.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def uniform_photos(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("uniform")
    for path in photos:
        Image.open(path).resize((48, 32)).save(folder / Path(path).name)
    return sorted(str(path) for path in folder.iterdir())


def shuffle() -> np.random.RandomState:
    return np.random.RandomState(12345)


def test_uniform_images(uniform_photos: list[str], actors: rb.RayActorPool) -> None:
    labels = np.arange(len(uniform_photos))
    theirs = PAGE.uniform_source(uniform_photos, labels)
    ours = rb.ArrayDataSource([rb.ImageFileAccessor(uniform_photos), labels])
    serial = rb.stream_digest(theirs.batch_iterator(batch_size=16, shuffle=shuffle()))
    assert rb.stream_digest(ours.batch_iterator(16, shuffle=shuffle())) == serial
    with rb.Loader(theirs, 16, shuffle=shuffle(), pool=actors) as loader:
        assert rb.stream_digest(loader) == serial


def test_images_of_many_sizes_with_a_batch_function(
    photos: list[str], actors: rb.RayActorPool
) -> None:
    theirs = PAGE.kaggle_source(photos)
    images = rb.ImageFileAccessor(photos, size=(64, 64), resample="bicubic")
    labels = np.array([Path(path).name.startswith("dog") for path in photos], dtype=np.int32)
    ours = rb.ArrayDataSource([images, labels])
    serial = rb.stream_digest(theirs.batch_iterator(batch_size=16, shuffle=shuffle()))
    assert rb.stream_digest(ours.batch_iterator(16, shuffle=shuffle())) == serial
    with rb.Loader(theirs, 16, shuffle=shuffle(), pool=actors) as loader:
        assert rb.stream_digest(loader) == serial


def test_pillow_images_travel_from_actors(photos: list[str], actors: rb.RayActorPool) -> None:
    images = PAGE.NonUniformImageFileAccessor(photos)
    source = rb.ArrayDataSource([images])
    with rb.Loader(source, 16, pool=actors) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(source.batch_iterator(16))
