"""Lists of images: from folders and patterns, local and remote, and saved in files."""

from __future__ import annotations

import glob
import http.server
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest

import raybatch as rb
from raybatch.retries import Retries
from raybatch.stores.hidden import is_hidden
from raybatch.stores.listing import find_images
from raybatch.stores.paths import path_names
from tests.servers import SECRET, s3_filesystem, s3_url
from tests.stores.image_tree import CLASSES, IMAGES, upload, write_tree


@pytest.fixture
def tree(tmp_path: Path, photos: list[str]) -> Path:
    return write_tree(tmp_path / "root", photos)


def test_paths_are_in_the_order_of_their_text_whatever_the_folders(tree: Path) -> None:
    images = rb.image_folder(tree)
    wanted = [str(tree / name) for name in IMAGES]
    assert images.paths.to_pylist() == wanted == find_images(tree)
    as_bytes: Any = os.fsencode(tree)
    assert rb.image_folder(as_bytes).paths.to_pylist() == wanted
    assert images.paths.type == pa.string()
    assert images.classes == CLASSES
    assert [CLASSES[label] for label in images.labels] == [name.split("/")[0] for name in IMAGES]
    assert images.labels.dtype == np.int64
    paths, labels, classes = images
    assert (paths, classes) == (wanted, CLASSES)
    np.testing.assert_array_equal(labels, images.labels)


@pytest.mark.parametrize(
    "pattern",
    [
        "*/*.jpg",
        "**/*.jpg",
        "**",
        "dog/**",
        "dog/**/*.*g",
        "**/more/**/*",
        "**/deep/c.jpeg",
        "cat-b/a[0-9].jpg",
        "cat-b/a[!1].jpg",
        "cat/[[]x].jpg",
        "cat/[x.jpg",
        "cat*/?.jpg",
        "dog/.*",
        ".cache/*",
        "dog/a.JPG",
        "[c]at/*",
        "dog/a**.JPG",
        "nothing/*.jpg",
        "*",
    ],
)
def test_a_pattern_matches_what_glob_matches(
    tree: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tree)
    for prefix in ("", f"{tree}/", "../root/"):
        found = glob.glob(prefix + pattern, recursive=True)
        wanted = sorted(path for path in found if os.path.isfile(path))
        if wanted:
            assert path_names(rb.image_glob(prefix + pattern)) == wanted
        else:
            with pytest.raises((FileNotFoundError, NotADirectoryError)):
                rb.image_glob(prefix + pattern)


@pytest.mark.parametrize(
    "left_behind", ["__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"]
)
def test_what_systems_leave_behind_is_no_class_and_no_image(tree: Path, left_behind: str) -> None:
    wanted = rb.image_folder(tree)
    for folder in (tree / left_behind, tree / "cat" / left_behind):
        folder.mkdir(exist_ok=True)
        (folder / "a.jpg").touch()
    images = rb.image_folder(tree)
    assert images.table.equals(wanted.table, check_metadata=True)
    assert find_images(tree) == wanted.paths.to_pylist()
    assert rb.image_glob(tree / "**/*.jpg").to_pylist() == [
        path for path in find_images(tree) if path.endswith(".jpg")
    ]
    # A path or pattern that names such a folder does list its images.
    assert rb.image_glob(tree / left_behind / "*").to_pylist() == [f"{tree}/{left_behind}/a.jpg"]
    inner = rb.image_glob(tree / "c*" / left_behind / "*.jpg").to_pylist()
    assert inner == [f"{tree}/cat/{left_behind}/a.jpg"]
    assert len(find_images(tree / left_behind)) == 1


def test_a_folder_that_may_not_be_read_is_no_matter_if_it_is_hidden(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "lost+found").mkdir()
    read = recorded(monkeypatch, "scandir")
    find_images(tree)
    assert read
    assert not any(is_hidden(os.path.relpath(path, tree)) for path in read if path != f"{tree}/")


def recorded(monkeypatch: pytest.MonkeyPatch, function: str) -> list[str]:
    """Return a list that collects the path of each call of `os.<function>`."""
    paths: list[str] = []
    original = getattr(os, function)

    def recording(path: str, **how: Any) -> Any:
        paths.append(path)
        return original(path, **how)

    monkeypatch.setattr(os, function, recording)
    return paths


def test_folders_deeper_than_the_pattern_are_not_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = recorded(monkeypatch, "scandir")
    rb.image_glob(tree / "dog" / "*.JPG")
    assert read == [f"{tree}/dog/"]


def test_no_single_file_is_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recorded(monkeypatch, "stat")
    find_images(tree)
    assert asked
    assert all(os.path.isdir(path) for path in set(asked))


def test_names_that_are_not_valid_utf_8_are_listed_and_saved(tree: Path, tmp_path: Path) -> None:
    (tree / os.fsdecode(b"dog/\xff.jpg")).touch()
    images = rb.image_folder(tree)
    assert path_names(images.paths)[-1] == str(tree / os.fsdecode(b"dog/\xff.jpg"))
    images.save(tmp_path / "list.parquet")
    assert rb.ImageList.load(tmp_path / "list.parquet").paths.equals(images.paths)
    assert len(rb.image_glob(tree / "dog/*.jpg")) == 1


def test_a_list_is_saved_and_loaded(tree: Path, tmp_path: Path) -> None:
    images = rb.image_folder(tree)
    file = tmp_path / "list.parquet"
    images.save(file)
    loaded = rb.ImageList.load(str(file))
    assert loaded.table.equals(images.table, check_metadata=True)
    assert loaded.table.schema.remove_metadata() == pa.schema(
        [("path", pa.string()), ("label", pa.int64())]
    )
    assert loaded.classes == CLASSES
    assert repr(loaded) == f"ImageList({len(IMAGES)} images, 5 classes)"
    assert sorted(os.listdir(tmp_path)) == ["list.parquet", "root"]
    accessor = rb.ImageFileAccessor(loaded.paths, (8, 8))
    assert accessor[np.arange(len(IMAGES))].shape == (len(IMAGES), 8, 8, 3)


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"2 paths need the same number of labels, not an array \(1,\)"
    ):
        rb.ImageList(["a", "b"], [0], ["x"])
    for label in (-1, 1):
        with pytest.raises(ValueError, match=f"label {label} is none of the 1 class$"):
            rb.ImageList(["a", "b"], [0, label], ["x"])
    pa.parquet.write_table(pa.table({"path": ["a"], "label": [0]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet' is not a list of images"):
        rb.ImageList.load(tmp_path / "other.parquet")


def test_a_list_of_urls_with_credentials_is_not_saved(tree: Path, tmp_path: Path, s3: int) -> None:
    upload(tree, s3_filesystem(s3, allow_bucket_creation=True), "folders/secret set")
    images = rb.image_folder(s3_url(s3, "secret set", "folders"))
    with pytest.raises(ValueError, match="credentials") as refused:
        images.save(tmp_path / "list.parquet")
    assert SECRET not in f"{refused.value} {images}"


def test_a_web_server_that_shows_its_folders_is_listed(photos: list[str], http: str) -> None:
    names = [path.rpartition("/")[2] for path in find_images(http)]
    assert names == [Path(path).name for path in sorted(photos)]
    assert len(rb.image_glob(f"{http}/dog_*.jpg")) == 20


class Dropping(http.server.BaseHTTPRequestHandler):
    """A web server with two folders, which resets the first `drops` requests for the second one."""

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/b" and self.server.drops > 0:  # type: ignore[attr-defined]
            self.server.drops -= 1  # type: ignore[attr-defined]
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        names = ["a/", "b/"] if self.path == "/" else [f"{number}.jpg" for number in range(3)]
        page = "".join(f'<a href="{name}">{name}</a>' for name in names).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize("drops", [1, 1000])
def test_a_folder_that_cannot_be_listed_is_not_left_out(
    drops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retries.__init__, "__defaults__", (4, 0.0, lambda seconds: None))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dropping) as server:
        server.drops = drops  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            if drops == 1:
                images = rb.image_folder(url)
                assert (len(images.paths), images.classes) == (6, ["a", "b"])
            else:
                with pytest.raises(OSError, match="reset by peer"):
                    rb.image_folder(url)
        finally:
            server.shutdown()
            thread.join()


def test_an_absent_folder_is_named_without_credentials(s3: int, http: str) -> None:
    for root in (s3_url(s3, "nowhere"), f"{http}/nowhere?token={SECRET}"):
        for function in (rb.image_folder, find_images, rb.image_glob):
            url = root.replace("?", "/*?") if function is rb.image_glob else root
            with pytest.raises(FileNotFoundError, match="nowhere") as caught:
                function(url)
            assert SECRET not in str(caught.value)
            assert quote(SECRET, safe="") not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rb.image_folder("images/nowhere", filesystem=s3_filesystem(s3))
    with pytest.raises(
        ValueError, match=r"lies in no class folder below 's3://\*\*\*@images/train"
    ):
        rb.image_folder(s3_url(s3, "train set"))


def test_urls_whose_query_only_says_where_the_store_is_are_saved(tmp_path: Path) -> None:
    url = "s3://bucket/a.jpg?region=us-east-1&scheme=http&endpoint_override=host:1"
    rb.ImageList([url, "/local?a=b", "s3://b/c@d&e.jpg"], [0, 0, 0], ["x"]).save(
        tmp_path / "list.parquet"
    )
    for secret in (
        f"{url}&secret_key=x",
        "https://h/a.jpg?x",
        "https://u:p@h/a.jpg",
        "s3://k:a/b@c/d",
    ):
        with pytest.raises(ValueError, match="credentials"):
            rb.ImageList([url, secret], [0, 0], ["x"]).save(tmp_path / "list.parquet")
