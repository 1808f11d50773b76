"""The behaviour that every store of files must have.

To test a new store, write a subclass with one fixture.
"""

from __future__ import annotations

import json
import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import fsspec
import numpy as np
import pyarrow.fs
import pytest

import raybatch as rb
from raybatch.stores.location import Location, Locations
from tests.servers import SECRET, http_server, s3_filesystem, s3_url
from tests.stores.image_tree import CLASSES, HIDDEN, IMAGES, NAMES, upload, write_tree

SIZE = (16, 24)
EVERY = np.arange(len(IMAGES))


@pytest.fixture(scope="module")
def tree(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree") / "root", photos)


class Place(NamedTuple):
    """The tree in a store: the path or URL of its root, and its file system, or None for a URL."""

    root: str
    filesystem: Any = None

    @property
    def folder(self) -> Location:
        return Location(self.root, self.filesystem)

    def files(self, names: list[str]) -> Locations:
        return Locations(self.folder.join(names), filesystem=self.filesystem)


class StoreTests:
    """Tests of a store; a subclass has the fixture `place`, with the tree in that store."""

    # Whether the store lists hidden names at all.
    lists_hidden = True

    @pytest.fixture(scope="class")
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    @classmethod
    def files(cls, place: Place) -> Locations:
        """The images of the tree, in the order of their names."""
        names = sorted(listed(place.folder.below()), key=unquoted(place))
        return place.files([name for name in names if unquoted(place)(name) in IMAGES])

    def test_names_below_a_folder(self, place: Place) -> None:
        shown = unquoted(place)
        names = sorted(map(shown, listed(place.folder.below())))
        assert names == sorted({*NAMES} - HIDDEN)
        assert place.folder.folders() == CLASSES
        if self.lists_hidden:
            everything = sorted(map(shown, listed(place.folder.below(hidden=True))))
            assert everything == sorted(NAMES)
        (dog,) = place.folder.join(["dog"])
        below = partial(Location(dog, place.filesystem).below)
        assert sorted(listed(below(1))) == ["a.JPG", "readme.txt"]
        assert sorted(listed(below(2))) == ["a.JPG", "more/b.png", "readme.txt"]

    def test_class_folders_are_those_of_this_machine(self, place: Place, tree: Path) -> None:
        images = rb.image_folder(place.root, filesystem=place.filesystem)
        here = rb.image_folder(tree)
        assert images.classes == here.classes
        np.testing.assert_array_equal(images.labels, here.labels)
        head, tail = place.folder.split_query()
        for pattern in ("**/*.jpg", "cat/*", "dog/*.JPG"):
            found = rb.image_glob(
                f"{head.rstrip('/')}/{pattern}{tail}", filesystem=place.filesystem
            )
            assert len(found) == len(rb.image_glob(tree / pattern))
            assert set(found.to_pylist()) <= set(images.paths.to_pylist())

    def test_bytes_are_those_of_the_file(self, files: Locations, tree: Path) -> None:
        assert len(files) == len(IMAGES)
        for position, name in enumerate(IMAGES):
            with files.open(position) as file:
                assert file.read() == (tree / name).read_bytes()

    def test_parts_of_a_version(self, files: Locations, tree: Path) -> None:
        wanted = (tree / IMAGES[0]).read_bytes()
        version = files.version(0)
        assert version == files.version(0)
        assert version.size == len(wanted)
        for offset, length in ((0, 10), (7, 100), (len(wanted) - 5, 5), (0, len(wanted))):
            part = files.read_range(0, version, offset, length)
            assert part == wanted[offset : offset + length]
        assert files.read_range(0, version, len(wanted) - 5, 99) == wanted[-5:]
        with files.open_to_seek(0, version) as file:
            file.seek(-3, 2)
            assert file.read() == wanted[-3:]
        longer = version._replace(size=version.size + 9)
        with pytest.raises(OSError, match=r"has changed|bytes where 9 were asked for|416|RANGE"):
            files.read_range(0, longer, version.size, 9)

    def test_a_missing_file_is_named(self, place: Place) -> None:
        missing = place.files(["dog/none.jpg"])
        for ask in (missing.open, missing.version):
            with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
                ask(0)
        (nowhere,) = place.folder.join(["nowhere"])
        with pytest.raises((FileNotFoundError, NotADirectoryError), match="nowhere"):
            rb.image_folder(nowhere, filesystem=place.filesystem)

    def test_names_show_no_secret(self, files: Locations, place: Place) -> None:
        shown = [files.name_of(position) for position in range(len(files))]
        assert len(set(shown)) == len(shown)
        assert all(unquote(name).count("/") for name in shown)
        for text in (*shown, str(place.folder), repr(place.folder)):
            assert SECRET not in text
            assert quote(SECRET, safe="") not in text

    def test_it_travels_to_another_process(self, files: Locations) -> None:
        copy = pickle.loads(pickle.dumps(files))
        assert copy.open(1).read() == files.open(1).read()
        assert copy.version(1) == files.version(1)
        assert copy.signature(1) == files.signature(1)

    def test_a_fingerprint_tells_lists_apart(self, files: Locations, place: Place) -> None:
        mark = files.fingerprint()
        assert json.loads(json.dumps(mark)) == mark
        assert pickle.loads(pickle.dumps(files)).fingerprint() == mark
        assert place.files(["dog/a.JPG"]).fingerprint() != mark

    @pytest.mark.parametrize("io_threads", [1, 5])
    def test_pixels_are_those_of_the_local_files(
        self, io_threads: int, files: Locations, place: Place, tree: Path
    ) -> None:
        paths = [str(tree / name) for name in IMAGES]
        stored: dict[str, Any] = {"paths": files.array, "filesystem": place.filesystem}
        wanted = rb.ImageFileAccessor(paths, SIZE)[EVERY]
        images = rb.ImageFileAccessor(**stored, size=SIZE, io_threads=io_threads)
        np.testing.assert_array_equal(images[EVERY], wanted)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(images))[EVERY[::-1]], wanted[::-1])
        varied: Any = rb.NonUniformImageFileAccessor(**stored, io_threads=io_threads)
        local = rb.NonUniformImageFileAccessor(paths)
        for image, position in zip(varied[EVERY], EVERY, strict=True):
            np.testing.assert_array_equal(image, local[int(position)])


def listed(runs: Iterator[list[str]]) -> list[str]:
    return [name for run in runs for name in run]


def unquoted(place: Place) -> Any:
    """Return a function from listed names to file names, since a web server quotes names."""
    return unquote if place.root.startswith("http") else str


class TestLocal(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path) -> Place:
        return Place(str(tree))


class TestFileUrl(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path) -> Place:
        return Place(f"file://{tree}")


class TestLocalFilesystem(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path) -> Place:
        return Place(str(tree), pyarrow.fs.LocalFileSystem())


class TestArrowFilesystem(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path) -> Place:
        here = pyarrow.fs.SubTreeFileSystem(str(tree.parent), pyarrow.fs.LocalFileSystem())
        return Place("root/", here)


class TestS3Filesystem(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path, s3: int) -> Place:
        store = s3_filesystem(s3, allow_bucket_creation=True)
        upload(tree, store, "folders/my set")
        return Place("folders/my set", store)


class TestS3Url(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path, s3: int) -> Place:
        upload(tree, s3_filesystem(s3, allow_bucket_creation=True), "folders/my set")
        return Place(s3_url(s3, "my set", "folders"))


class TestFsspecFilesystem(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path) -> Place:
        memory = fsspec.filesystem("memory")
        upload(tree, memory, "/contract/root")
        return Place("contract/root", memory)


class TestFsspecUrl(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path) -> Place:
        upload(tree, fsspec.filesystem("memory"), "/contract/root")
        return Place("memory://contract/root")


class TestWebServer(StoreTests):
    lists_hidden = False

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
        with http_server(tree, tmp_path_factory.mktemp("nginx")) as port:
            yield Place(f"http://127.0.0.1:{port}")


class TestWebFilesystem(TestWebServer):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
        with http_server(tree, tmp_path_factory.mktemp("nginx")) as port:
            yield Place(f"http://127.0.0.1:{port}", fsspec.filesystem("http"))


class TestZip(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
        archive = tmp_path_factory.mktemp("zip") / "tree.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for name in NAMES:
                file.write(tree / name, f"set/{name}")
        return Place(f"zip://set::file://{archive}")


class TestTar(StoreTests):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
        archive = tmp_path_factory.mktemp("tar") / "tree.tar"
        with tarfile.open(archive, "w") as file:
            file.add(tree, "set")
        return Place(f"tar://set::file://{archive}")
