"""The same images make the same stream from every place, even with bad images among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raybatch as rb
from tests.servers import delayed, s3_filesystem
from tests.stores.same_photos import FORMS, opened, upload, write_all

BAD = [8, 31]
SIZE = (16, 24)


@pytest.fixture(scope="module")
def folder(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms")
    images = [Path(photo).read_bytes() for photo in photos]
    for number in BAD:
        images[number] = images[number][:200]
    write_all(folder, images, per_shard=14, rows=7)
    return folder


@pytest.fixture(scope="module")
def bucket(folder: Path, s3: int) -> Iterator[dict[str, Any]]:
    """The settings for an S3 server that has all forms, and answers 30 ms late."""
    upload(folder, s3_filesystem(s3), "images/forms")
    with delayed(s3, 0.03) as port:
        yield {"filesystem": s3_filesystem(port), "io_threads": 8}


def streamed(images: Any, pool: rb.RayActorPool | None) -> tuple[str, list[int]]:
    source = rb.ArrayDataSource([images])
    with rb.Loader(source, 6, shuffle=7, bad_samples="skip", pool=pool) as loader:
        return rb.stream_digest(loader), sorted(bad.index for bad in loader.bad_samples)


@pytest.mark.parametrize("place", ["here", "s3"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_in_each_place_gives_the_stream_of_the_files(
    form: str,
    place: str,
    folder: Path,
    actors: rb.RayActorPool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    wanted = streamed(opened("files", str(folder), tmp_path, size=SIZE), None)
    assert wanted[1] == BAD
    settings = request.getfixturevalue("bucket") if place == "s3" else {}
    where = "images/forms" if place == "s3" else str(folder)
    images = opened(form, where, tmp_path / "index.arrow", size=SIZE, **settings)
    assert streamed(images, actors) == wanted
