"""Parquet files on servers: row groups that are read as ranges, and errors."""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

import raybatch as rb
from raybatch.errors import SampleReadError, StorageError
from raybatch.faults import Fault, fault_of
from raybatch.stores.url_files import ArrowFiles
from tests.servers import SECRET, s3_filesystem, s3_url
from tests.stores.parquet_photos import LABELS, SIZE, as_struct, contents, write

ALL = np.arange(40)


@pytest.fixture(scope="module")
def folder(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet files of the photos.

    `train/` has two files with row groups of 7. In `bad.parquet`, a null replaces photo 8.
    """
    folder = tmp_path_factory.mktemp("parquet")
    (folder / "train").mkdir()
    images: list[Any] = [*contents(photos)]
    for name, rows in (("0", slice(0, 25)), ("1 é", slice(25, 40))):
        labels = LABELS[rows]
        write(folder / "train" / f"{name}.parquet", as_struct(images[rows]), label=labels)
    images[8] = None
    write(folder / "bad.parquet", as_struct(images), label=LABELS)
    return folder


def named(place: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments for the files of `train` in a place."""
    if place == "http":
        server = request.getfixturevalue("server")
        return {"paths": [f"{server}/train/0.parquet", f"{server}/train/1%20%C3%A9.parquet"]}
    if place == "memory":
        memory = fsspec.filesystem("memory")
        memory.put(f"{request.getfixturevalue('folder')}/train/", "/train/", recursive=True)
        return {"paths": "train", "filesystem": memory}
    port = request.getfixturevalue("bucket")
    return {
        "s3 folder": {"paths": s3_url(port, "train")},
        "s3 pattern": {"paths": s3_url(port, "tr*/*.parquet").replace("%2A", "*")},
        "filesystem": {"paths": "images/train/", "filesystem": s3_filesystem(port)},
    }[place]


@pytest.mark.parametrize("place", ["s3 folder", "s3 pattern", "filesystem", "http", "memory"])
def test_files_on_servers_give_the_images_of_the_files(
    place: str, photos: list[str], request: pytest.FixtureRequest
) -> None:
    images = rb.ParquetImageAccessor(size=SIZE, io_threads=4, **named(place, request))
    np.testing.assert_array_equal(images[ALL[::-1]], rb.ImageFileAccessor(photos, SIZE)[ALL[::-1]])
    assert images.column("label").tolist() == LABELS.tolist()
    assert images.row_group_lengths.tolist() == [7, 7, 7, 4, 7, 7, 1]
    for secret in (SECRET, quote(SECRET, safe="")):
        assert secret not in images.name_of(0)


class Hub(LocalFileSystem):  # type: ignore[misc]
    """Local files under URLs of the Hugging Face Hub."""

    protocol = "hf"
    root = ""

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        below = str(path).removeprefix("hf://")
        return below if below.startswith("/") else f"{cls.root}/{below}"


def test_files_that_the_library_datasets_writes(
    photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    boxes = [[[0.0, 1.0, 2.0, 3.0]] * (n % 3) for n in range(40)]
    columns = {
        "image": [{"bytes": data, "path": None} for data in contents(photos)],
        "objects": [{"bbox": box, "category": [n] * len(box)} for n, box in enumerate(boxes)],
        "captions": [["one", "two"][: n % 3] for n in range(40)],
    }
    data = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    below = tmp_path / "datasets" / "user" / "pets" / "data"
    below.mkdir(parents=True)
    for shard in range(2):
        part = data.shard(2, shard, contiguous=True)
        part.to_parquet(below / f"train-0000{shard}-of-00002.parquet", batch_size=7)
    monkeypatch.setattr(Hub, "root", str(tmp_path))
    fsspec.register_implementation("hf", Hub, clobber=True)
    for paths in ("hf://datasets/user/pets/data", "hf://datasets/user/pets/**/train-*.parquet"):
        images = rb.ParquetImageAccessor(paths, size=SIZE)
        np.testing.assert_array_equal(images[ALL], rb.ImageFileAccessor(photos, SIZE)[ALL])
        assert len(images.row_group_lengths) > 2
    found = images.column("objects.bbox")
    assert (found.inner_shape, [row.tolist() for row in found]) == ((4,), boxes)
    assert images.column("objects.category").lengths.tolist() == [n % 3 for n in range(40)]
    assert images.column("captions")[np.arange(4)] == [[], ["one"], ["one", "two"], []]


@pytest.mark.parametrize("place", ["s3", "http"])
def test_actors_give_the_serial_stream_without_the_bad_sample(
    place: str, photos: list[str], actors: rb.RayActorPool, request: pytest.FixtureRequest
) -> None:
    if place == "s3":
        path = s3_url(request.getfixturevalue("bucket"), "bad.parquet")
    else:
        path = f"{request.getfixturevalue('server')}/bad.parquet"
    images = rb.ParquetImageAccessor(path, size=SIZE, io_threads=4)
    sampler = rb.BlockShuffleSampler(images.row_group_lengths, window=3)
    source = rb.ArrayDataSource([images, ALL], sampler=sampler)
    files = rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), ALL], sampler=sampler)
    with rb.Loader(source, 8, shuffle=7, pool=actors, bad_samples="skip") as loader:
        digest = rb.stream_digest(loader)
        assert [bad.index for bad in loader.bad_samples] == [8]
    with rb.Loader(files, 8, shuffle=7, bad_samples="skip") as loader:
        wanted = [(x[y != 8], y[y != 8]) for x, y in loader]
    assert digest == rb.stream_digest(wanted)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of reads of each S3 object from now on."""
    ranges: Counter[str] = Counter()
    original = ArrowFiles._read

    def counted(self: Any, path: str, start: int = 0, end: int | None = None) -> bytes:
        assert end is not None, "all of a file was asked for"
        ranges[path] += 1
        return original(self, path, start, end)

    monkeypatch.setattr(ArrowFiles, "_read", counted)
    return ranges


def test_a_row_group_is_one_request(bucket: int, requests: Counter[str]) -> None:
    images = rb.ParquetImageAccessor(
        "images/train", size=SIZE, filesystem=s3_filesystem(bucket), io_threads=4
    )
    assert set(requests.values()) == {1}  # one request for each footer
    requests.clear()
    sampler = rb.BlockShuffleSampler(images.row_group_lengths, window=2)
    source = rb.ArrayDataSource([images], sampler=sampler)
    assert sum(len(x) for (x,) in source.batch_iterator(5, shuffle=1)) == 40
    assert sorted(requests.values()) == [3, 4]
    requests.clear()
    images.column("label")
    assert sorted(requests.values()) == [3, 4]


def test_row_groups_are_kept_in_a_disk_cache(
    bucket: int, requests: Counter[str], folder: Path, tmp_path: Path
) -> None:
    cache = rb.DiskCache(tmp_path / "cache", 10**8)
    settings: dict[str, Any] = {"filesystem": s3_filesystem(bucket), "cache": cache}
    wanted = rb.ParquetImageAccessor(folder / "train", size=SIZE)[ALL]
    for _ in range(2):
        requests.clear()
        images = rb.ParquetImageAccessor("images/train", size=SIZE, **settings)
        np.testing.assert_array_equal(images[ALL], wanted)
    assert not requests


@pytest.mark.parametrize(
    ("below", "kind"),
    [("denied", StorageError), ("busy", StorageError), ("absent", FileNotFoundError)],
)
def test_what_a_server_refuses_is_an_error_without_secrets(
    below: str, kind: type[Exception], server: str
) -> None:
    url = f"{server}/{below}/a.parquet?token=very-secret".replace("://", "://me:password@")
    with pytest.raises(kind) as caught:
        rb.ParquetImageAccessor(url, size=SIZE)
    told = "".join(traceback.format_exception(caught.value))
    assert f"{below}/a.parquet" in told
    assert "very-secret" not in told
    assert "password" not in told
    assert (fault_of(caught.value) is Fault.PLACE) == (below != "absent")


class Failing:
    """Local files in a store that first raises the errors in `errors`."""

    def __init__(self) -> None:
        self.files = fsspec.filesystem("file")
        self.info, self.isdir = self.files.info, self.files.isdir
        self.errors: list[Exception] = []

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        if self.errors:
            raise self.errors.pop()
        return bytes(self.files.cat_file(path, start, end))


def test_what_passes_is_tried_again_and_what_stays_is_the_stores(
    folder: Path, photos: list[str]
) -> None:
    store = Failing()
    images = rb.ParquetImageAccessor(str(folder / "bad.parquet"), size=SIZE, filesystem=store)
    store.errors = [ConnectionResetError("lost")]
    np.testing.assert_array_equal(images[3], rb.ImageFileAccessor(photos, SIZE)[3])
    store.errors = [FileNotFoundError("gone")]
    with pytest.raises(SampleReadError, match="gone") as caught:
        images[30]
    assert isinstance(caught.value.__cause__, StorageError)
