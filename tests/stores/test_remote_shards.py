"""Shards and archives on servers: members that are read by offset, and archives in URLs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import numpy as np
import pytest

import raybatch as rb
from raybatch.errors import SampleReadError, StorageError
from raybatch.stores.url_files import ArrowFiles
from tests.servers import SECRET, s3_filesystem, s3_url
from tests.stores.shard_files import write_shards, write_tar, write_zip

SIZE = (16, 24)
ALL = np.arange(40)


@pytest.fixture(scope="module")
def folder(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos in tar and zip shards, and in `class set/pets.zip`, with a folder per class."""
    folder = tmp_path_factory.mktemp("shards")
    write_shards(folder, photos)
    write_shards(folder, photos, ".zip", method=zipfile.ZIP_DEFLATED)
    pets = {
        f"{Path(photo).name[:3]}/{Path(photo).name}": Path(photo).read_bytes() for photo in photos
    }
    (folder / "class set").mkdir()
    write_zip(folder / "class set" / "pets.zip", dict(sorted(pets.items())))
    return folder


def named(kind: str, place: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments for the shards in a place."""
    if place == "http":
        return {"shards": f"{request.getfixturevalue('server')}/{{000..002}}{kind}"}
    port = request.getfixturevalue("bucket")
    if place == "s3":
        return {"shards": [s3_url(port, f"{number:03}{kind}") for number in range(3)]}
    return {"shards": f"images/*{kind}", "filesystem": s3_filesystem(port)}


@pytest.mark.parametrize("kind", [".tar", ".zip"])
@pytest.mark.parametrize("place", ["http", "s3", "filesystem"])
def test_shards_on_servers_give_the_stream_of_the_files(
    kind: str,
    place: str,
    photos: list[str],
    tmp_path: Path,
    actors: rb.RayActorPool,
    request: pytest.FixtureRequest,
) -> None:
    shards_of = rb.TarShards if kind == ".tar" else rb.ZipShards
    index = tmp_path / "index.arrow"
    shards = shards_of(**named(kind, place, request), index=index)
    images = shards.images("jpg", SIZE, io_threads=4)
    files = rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), ALL])
    source = rb.ArrayDataSource([images, shards.column("cls")])
    with rb.Loader(source, 16, shuffle=7, pool=actors) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(files.batch_iterator(16, shuffle=7))
    for secret in (SECRET, quote(SECRET, safe="")):
        assert secret.encode() not in index.read_bytes()
        assert secret not in images.name_of(0)


def test_a_member_is_one_request(
    bucket: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges: Counter[str] = Counter()
    original = ArrowFiles._read

    def counted(self: Any, path: str, start: int = 0, end: int | None = None) -> bytes:
        ranges[path] += 1
        return original(self, path, start, end)

    monkeypatch.setattr(ArrowFiles, "_read", counted)
    shards = rb.TarShards(
        "images/*.tar", filesystem=s3_filesystem(bucket), index=tmp_path / "index.arrow"
    )
    assert shards.column("cls").tolist() == [*range(40)]  # these were read with the headers
    assert ranges == {f"images/00{number}.tar": 1 for number in range(3)}
    ranges.clear()
    shards.images("jpg", SIZE)[ALL]
    assert ranges == {"images/000.tar": 14, "images/001.tar": 14, "images/002.tar": 12}


def test_the_index_of_shards_on_a_server_is_compared_with_them(
    folder: Path, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "index.arrow"
    shards = f"{server}/{{000..002}}.tar"
    rb.TarShards(shards)
    assert "is not saved: give index=" in capsys.readouterr().err
    rb.TarShards(shards, index=index)
    written = index.stat().st_ino
    rb.TarShards(shards, index=index)
    assert index.stat().st_ino == written
    os.utime(folder / "001.tar", (0, 0))
    rb.TarShards(shards, index=index)
    assert index.stat().st_ino != written


def test_a_shard_that_changes_after_it_was_listed_is_told(bucket: int, tmp_path: Path) -> None:
    store = s3_filesystem(bucket)

    def put(data: bytes) -> None:
        path = write_tar(tmp_path / "a.tar", {"a.jpg": data, "b.jpg": data})
        with store.open_output_stream("images/changes.tar") as stream:
            stream.write(Path(path).read_bytes())

    put(b"1" * 1000)
    shards = rb.TarShards("images/changes.tar", filesystem=store, index=tmp_path / "index.arrow")
    in_actor = pickle.dumps(shards.bytes("jpg"))
    assert pickle.loads(in_actor)[1] == b"1" * 1000
    put(b"2" * 1000)
    with pytest.raises(SampleReadError, match=r"StorageError.*changes\.tar' has changed"):
        pickle.loads(in_actor)[1]


def test_an_index_may_lie_in_a_store(
    bucket: int, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(tmp_path, photos)
    index = s3_url(bucket, "index of shards.arrow")
    made = rb.TarShards(f"{tmp_path}/*.tar", index=index)
    for shard in tmp_path.glob("*.tar"):  # with the index, the shards need not be read
        status = shard.stat()
        shard.write_bytes(bytes(status.st_size))
        os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = rb.TarShards(f"{tmp_path}/*.tar", index=index)
    assert again.keys.array.equals(made.keys.array)
    assert capsys.readouterr().err == ""


def test_a_server_that_answers_no_ranges_is_named(tmp_path: Path, photos: list[str]) -> None:
    class WholeFiles:
        """A file system that returns the whole file, whatever range is wanted."""

        def __init__(self) -> None:
            self.files = fsspec.filesystem("file")
            self.info, self.open = self.files.info, self.files.open

        def cat_file(self, path: str, start: int, end: int) -> bytes:
            return Path(path).read_bytes()

    write_shards(tmp_path, photos)
    paths = [str(path) for path in tmp_path.glob("*.tar")]
    shards = rb.TarShards(paths, filesystem=WholeFiles(), index=tmp_path / "index.arrow")
    with pytest.raises(SampleReadError, match="does not answer requests for a part") as caught:
        shards.images("jpg", SIZE)[0]
    assert isinstance(caught.value.__cause__, StorageError)


def test_a_folder_in_a_zip_file_in_a_url(
    folder: Path, server: str, photos: list[str], actors: rb.RayActorPool
) -> None:
    wanted = sorted(photos, key=lambda path: Path(path).name)
    for place in (folder / "class set" / "pets.zip", f"{server}/class%20set/pets.zip"):
        listed = rb.image_folder(f"zip://::{place}")
        assert listed.paths[0].as_py() == f"zip://cat/cat_01.jpg::{place}"
        assert listed.classes == ["cat", "dog"]
        assert listed.labels.tolist() == [0] * 20 + [1] * 20
        dogs = rb.image_glob(f"zip://dog/*.jpg::{place}")
        assert dogs.to_pylist() == listed.paths[20:].to_pylist()
        images = rb.ArrayDataSource([rb.ImageFileAccessor(listed.paths, SIZE)])
        with rb.Loader(images, 10, pool=actors) as loader:
            (stack,) = (np.concatenate(column) for column in zip(*loader, strict=True))
        np.testing.assert_array_equal(stack, rb.ImageFileAccessor(wanted, SIZE)[ALL])


def test_a_folder_in_a_zip_file_in_s3(
    bucket: int, photos: list[str], tmp_path: Path, actors: rb.RayActorPool
) -> None:
    place = s3_url(bucket, "class set/pets.zip")
    listed = rb.image_folder(f"zip://::{place}")
    assert listed.paths[0].as_py() == f"zip://cat/cat_01.jpg::{place}"
    assert listed.labels.tolist() == [0] * 20 + [1] * 20
    dogs = rb.image_glob(f"zip://dog/*.jpg::{place}")
    assert dogs.to_pylist() == listed.paths[20:].to_pylist()
    wanted = rb.ImageFileAccessor(sorted(photos, key=lambda path: Path(path).name), SIZE)
    cache = rb.DiskCache(tmp_path, 10**9)
    images = rb.ImageFileAccessor(listed.paths, SIZE, io_threads=4, cache=cache)
    with rb.Loader(rb.ArrayDataSource([images]), 10, pool=actors) as loader:
        for _ in range(2):
            (stack,) = (np.concatenate(column) for column in zip(*loader, strict=True))
            np.testing.assert_array_equal(stack, wanted[ALL])
    assert SECRET not in images.name_of(0)
    # Older versions of fsspec raise KeyError for a missing member of an archive.
    with pytest.raises(SampleReadError, match=r"FileNotFoundError|There is no item") as caught:
        rb.ImageFileAccessor([f"zip://none.jpg::{place}"], SIZE)[0]
    assert SECRET not in str(caught.value)


def test_a_zip_file_as_a_file_system(folder: Path, photos: list[str]) -> None:
    filesystem = fsspec.filesystem("zip", fo=str(folder / "class set" / "pets.zip"))
    listed = rb.image_folder("", filesystem=filesystem)
    assert (listed.classes, listed.paths[0].as_py()) == (["cat", "dog"], "cat/cat_01.jpg")
    images = rb.ImageFileAccessor(listed.paths, SIZE, filesystem=filesystem)
    np.testing.assert_array_equal(images[20], rb.ImageFileAccessor(photos[:1], SIZE)[0])
