"""Files that are written: on this machine, completely or not at all, under any name."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch.errors import SampleReadError
from raybatch.packing.packed_folder import verify
from raybatch.sources.ledger import BadSample
from raybatch.stores.aside import written_aside
from raybatch.stores.local_path import local_path

SOURCE = rb.ArrayDataSource([np.zeros((40, 30, 30, 3), np.uint8)])
LEDGER = rb.BadSampleLedger(
    BadSample(number, "OSError", os.urandom(99).hex()) for number in range(99)
)
IMAGES = rb.ImageList([os.urandom(99).hex() for _ in range(99)], [0] * 99, ["a"])


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A folder with a class folder of three images that cannot be compressed."""
    rng = np.random.default_rng(0)
    (tmp_path / "noisy" / "a").mkdir(parents=True)
    for number in range(3):
        pixels = rng.integers(0, 256, (60, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "noisy" / "a" / f"{number}.png")
    return tmp_path / "noisy"


Writer = Callable[[str], Any]
WRITERS: dict[str, Writer] = {
    "pack": lambda path: rb.pack(SOURCE, path),
    "ledger": LEDGER.save,
    "list": IMAGES.save,
    "to_parquet": lambda path: rb.to_parquet("noisy", path),
    "to_parquet files": lambda path: rb.to_parquet("noisy", path, rows_per_file=1),
}
# These write to S3 too.
IN_STORES = ["pack", "to_parquet", "to_parquet files"]
SUFFIX = {"ledger": ".jsonl", "list": ".parquet"}
READERS: dict[str, Writer] = {
    "PackedAccessor": rb.PackedAccessor,
    "verify": verify,
    "load a ledger": rb.BadSampleLedger.load,
    "exclude": lambda path: rb.Loader(SOURCE, 4, exclude=path),
    "CachedAccessor": lambda path: rb.CachedAccessor(np.zeros((4, 3)), path, 10**6),
}


@pytest.mark.parametrize(
    ("what", "url"),
    [
        (what, url)
        for what in (*WRITERS, *READERS)
        for url in ("s3://key:secret@bucket/there", "gs:/bucket/there", "https://h/x")
        if what not in IN_STORES or not url.startswith("s3://")
    ],
)
def test_a_url_is_refused_before_the_work(
    what: str, url: str, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(noisy.parent)
    with pytest.raises(ValueError, match="is a URL, but this must be a path on a disk") as refused:
        {**WRITERS, **READERS}[what](url + SUFFIX.get(what, ".jsonl"))
    assert "secret" not in str(refused.value)
    assert os.listdir() == ["noisy"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/50%25%20x", "/a/50% x"),
        ("file://localhost/a", "/a"),
        ("file:/a", "/a"),
        ("a:b/c", "a:b/c"),
        ("c:/x", "c:/x"),
        ("./s3:/x", "./s3:/x"),
    ],
)
def test_paths_of_this_machine(url: str, path: str) -> None:
    assert local_path(url) == Path(path)


def test_a_file_url_is_written_where_it_says(tmp_path: Path) -> None:
    LEDGER.save(f"file://{tmp_path}/my%20list.jsonl")
    assert os.listdir(tmp_path) == ["my list.jsonl"]
    assert list(rb.BadSampleLedger.load(f"file://{tmp_path}/my%20list.jsonl")) == list(LEDGER)


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond `most_bytes`, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("what", WRITERS)
def test_the_error_of_a_full_disk_names_the_file_and_leaves_none(
    what: str, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(noisy.parent)
    path = "out" + SUFFIX.get(what, "")
    with pytest.raises(OSError, match=r"File too large: '") as raised, full_disk(3000):
        WRITERS[what](path)
    assert str(raised.value.filename).startswith(path)
    if what == "pack":
        assert os.listdir(path) == ["_unfinished.json"]
        assert rb.pack(SOURCE, path).rows == 40  # it continues when there is room again
    else:
        assert os.listdir() == ["noisy"]


def test_an_error_about_another_file_stays_what_it_is(tmp_path: Path) -> None:
    for error in (
        FileNotFoundError(2, "absent", "other"),
        SampleReadError("a.jpg", 3, "broken"),
        FileExistsError("the folder is not empty"),
    ):
        with pytest.raises(type(error)) as raised, written_aside(tmp_path / "x"):
            raise error
        assert raised.value is error
    with pytest.raises(FileNotFoundError) as absent:
        LEDGER.save(tmp_path / "absent" / "x.jsonl")
    assert absent.value.filename == str(tmp_path / "absent" / "x.jsonl")


def test_the_error_of_a_read_only_disk_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, **options: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(OSError, match="Read-only") as raised, written_aside(tmp_path / "x") as path:
        refused(path)
    assert raised.value.filename == str(tmp_path / "x")


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    read: list[str] = []
    reader = threading.Thread(
        target=lambda: read.append((tmp_path / "pipe.jsonl").read_text()), daemon=True
    )
    reader.start()
    LEDGER.save(tmp_path / "pipe.jsonl")
    reader.join(10)
    assert [len(text.splitlines()) for text in read] == [99]
    assert os.listdir(tmp_path) == ["pipe.jsonl"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_ledger_keeps_names_that_are_not_valid_utf_8(tmp_path: Path, suffix: str) -> None:
    odd = os.fsdecode(b"/photos/\xff\xfe.jpg")
    samples = [
        BadSample(3, "OSError", f"cannot read {odd}", odd, (1, 0), 2, 5),
        BadSample(4, "OSError", "é", "/photos/é.jpg"),
    ]
    rb.BadSampleLedger(samples).save(tmp_path / f"bad{suffix}")
    assert list(rb.BadSampleLedger.load(tmp_path / f"bad{suffix}")) == samples
