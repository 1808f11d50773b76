"""A cache of samples on the host's disk: when it is used, and when it must not be used."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs
import pytest
from PIL import Image

import raybatch as rb
from raybatch.errors import SampleReadError
from raybatch.image import augment
from raybatch.stores.location import Locations
from raybatch.stores.url_files import UrlFiles
from tests.drivers import start, wait_for

SIZE = (12, 16)
ROW_BYTES = 12 * 16 * 3
PLENTY = 10**8
ALL = np.arange(40)


class Counting(rb.ImageFileAccessor):
    """An accessor that records the indices that are read."""

    reads: list[int]

    def __getitem__(self, index: Any) -> Any:
        self.reads = [*getattr(self, "reads", []), *index.tolist()]
        return super().__getitem__(index)


@pytest.fixture
def paths(photos: list[str], tmp_path: Path) -> list[str]:
    """Copies of the photos, old enough for a cache to keep their samples."""
    folder = tmp_path / "photos"
    shutil.copytree(Path(photos[0]).parent, folder)
    copies = sorted(str(path) for path in folder.iterdir())
    settle(copies[-1])
    return copies


def settle(path: str) -> None:
    wait_for(lambda: time.time() - os.stat(path).st_ctime > 0.2, "older", 10)


def rows_file(directory: Path) -> Path:
    (found,) = directory.glob("*/rows.bin")
    return found


def test_what_was_read_once_is_not_read_again(paths: list[str], tmp_path: Path) -> None:
    images = Counting(paths, SIZE)
    pixels = rb.ImageFileAccessor(paths, SIZE)[ALL]
    cached = rb.CachedAccessor(images, tmp_path / "cache", PLENTY)
    order = np.array([3, -1, 3, 0])
    np.testing.assert_array_equal(cached[order], pixels[order])
    np.testing.assert_array_equal(cached[ALL], pixels)
    assert sorted(images.reads) == sorted([3, *range(40)])
    for index in (ALL[::-1], order):
        np.testing.assert_array_equal(cached[index], pixels[index])
    np.testing.assert_array_equal(cached[-2], pixels[-2])
    assert len(images.reads) == 41
    assert cached.stats() == (3 + 40 + 4 + 1, 4 + 37)
    assert cached[np.arange(0)].shape == (0, *SIZE, 3)
    cached[ALL][:] = 0  # the batch is a copy
    np.testing.assert_array_equal(cached[ALL], pixels)
    assert len(cached) == 40
    with pytest.raises(IndexError, match="40 is out of range"):
        cached[40]


def test_the_next_program_finds_it(paths: list[str], tmp_path: Path) -> None:
    first = rb.CachedAccessor(Counting(paths, SIZE), tmp_path / "cache", PLENTY)
    pixels = first[ALL]
    images = Counting(paths, SIZE)
    second = rb.CachedAccessor(images, tmp_path / "cache", PLENTY)
    np.testing.assert_array_equal(second[ALL], pixels)
    third = pickle.loads(pickle.dumps(second))
    np.testing.assert_array_equal(third[ALL], pixels)
    assert not hasattr(images, "reads")
    assert second.stats() == third.stats() == (80, 0)  # the counts of both accessors together
    assert first.stats() == (0, 40)


def test_a_limit_keeps_a_share_for_every_epoch(paths: list[str], tmp_path: Path) -> None:
    slot = -(-(56 + ROW_BYTES) // 64) * 64
    limit = 10 * slot + 5
    images = Counting(paths, SIZE)
    cached = rb.CachedAccessor(images, tmp_path / "cache", limit)
    pixels = cached[ALL]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(40)
        np.testing.assert_array_equal(cached[order], pixels[order])
    assert cached.stats() == (30, 40 + 90)
    assert rows_file(tmp_path / "cache").stat().st_size <= limit
    kept = sorted(set(range(40)) - set(images.reads[40:80]))
    assert np.diff(kept).tolist() == [4] * 9  # the kept samples are spread evenly
    small = rb.CachedAccessor(images, tmp_path / "cache", 3 * slot)
    np.testing.assert_array_equal(small[ALL], pixels)
    np.testing.assert_array_equal(small[ALL], pixels)
    assert small.stats().hits >= 3
    assert rows_file(tmp_path / "cache").stat().st_size <= 3 * slot


def test_a_limit_below_one_sample_is_told(
    paths: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path, 100)
    cached[ALL], cached[ALL]
    assert cached.stats() == (0, 80)
    assert "is too small for one sample: max_bytes=100, but a sample takes 576 bytes" in caplog.text


@pytest.mark.parametrize("place", [0, 9, 17, 30, 56, 300, 56 + ROW_BYTES - 1])
def test_a_damaged_row_is_not_served(paths: list[str], tmp_path: Path, place: int) -> None:
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    pixels = cached[ALL]
    file = rows_file(tmp_path / "cache")
    data = bytearray(file.read_bytes())
    slot = -(-(56 + ROW_BYTES) // 64) * 64
    data[5 * slot + place] ^= 1
    file.write_bytes(data)
    np.testing.assert_array_equal(cached[ALL], pixels)
    assert cached.stats() == (39, 41)
    cached[ALL]
    assert cached.stats() == (79, 41)  # the row was written again


def test_a_row_of_another_place_and_a_file_cut_short_are_not_served(
    paths: list[str], tmp_path: Path
) -> None:
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    pixels = cached[ALL]
    file = rows_file(tmp_path / "cache")
    slot = -(-(56 + ROW_BYTES) // 64) * 64
    data = file.read_bytes()
    file.write_bytes(data[slot : 2 * slot] + data[slot : 20 * slot + 100])
    np.testing.assert_array_equal(cached[ALL], pixels)
    assert cached.stats().hits == 19


def test_old_pixels_under_the_signature_of_a_new_file_are_not_served(
    paths: list[str], tmp_path: Path
) -> None:
    images = rb.ImageFileAccessor(paths, SIZE)
    cached = rb.CachedAccessor(images, tmp_path / "cache", PLENTY)
    before = cached[ALL]
    shutil.copy(paths[4], paths[0])
    settle(paths[0])
    with open(rows_file(tmp_path / "cache"), "r+b") as file:
        file.seek(24)  # as if the write had stopped after the header
        digest = hashlib.blake2b(repr((0, *images.signature(0))).encode(), digest_size=32)
        file.write(digest.digest())
    np.testing.assert_array_equal(cached[0], before[4])


# Reads all photos through a cache. The write of row 7 stops halfway, and the program reports it.
TORN_WRITE = """
import json
paths, directory = json.loads(input())
whole = os.pwritev
def torn(file, parts, place):
    header, data = parts
    if place // 640 == 7:
        whole(file, [header, data[: len(data) // 2]], place)
        say(torn=7)
        input()
    return whole(file, parts, place)
os.pwritev = torn
cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, (12, 16)), directory, 10**8)
cached[np.arange(40)]
"""


def test_a_process_killed_in_the_middle_of_a_write_leaves_nothing_wrong(
    paths: list[str], tmp_path: Path
) -> None:
    with start(TORN_WRITE) as driver:
        assert driver.process.stdin is not None
        driver.process.stdin.write(json.dumps([paths, str(tmp_path / "cache")]))
        driver.go_on()
        assert driver.listen() == {"torn": "7"}
        driver.process.kill()
    images = Counting(paths, SIZE)
    images.fingerprint = rb.ImageFileAccessor(paths, SIZE).fingerprint  # type: ignore[method-assign]
    cached = rb.CachedAccessor(images, tmp_path / "cache", PLENTY)
    np.testing.assert_array_equal(cached[ALL], rb.ImageFileAccessor(paths, SIZE)[ALL])
    assert images.reads == list(range(7, 40))


# Reads all photos 30 times, each time in another order.
SHARER = """
import json
paths, directory, seed = json.loads(input())
images = rb.ImageFileAccessor(paths, (12, 16))
pixels = images[np.arange(40)]
cached = rb.CachedAccessor(images, directory, 10**8)
say(ready=1)
input()
rng = np.random.default_rng(seed)
for epoch in range(30):
    for rows in rng.permutation(40).reshape(5, 8):
        assert np.array_equal(cached[rows], pixels[rows])
say(hits=cached.stats().hits, misses=cached.stats().misses)
"""


def test_processes_share_it_and_write_at_once(paths: list[str], tmp_path: Path) -> None:
    with start(SHARER) as one, start(SHARER) as other:
        for seed, sharer in enumerate((one, other)):
            assert sharer.process.stdin is not None
            sharer.process.stdin.write(json.dumps([paths, str(tmp_path / "cache"), seed]))
            sharer.go_on()
        for sharer in (one, other):
            assert sharer.listen() == {"ready": "1"}
        one.go_on()
        other.go_on()
        for sharer in (one, other):
            told = sharer.listen()
            assert int(told["hits"]) + int(told["misses"]) == 1200
            # A sample that the other process is writing at that moment is missed once more.
            assert int(told["misses"]) <= 40 + 16
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    cached[ALL]
    assert cached.stats() == (40, 0)


def test_a_changed_file_is_read_again(paths: list[str], tmp_path: Path) -> None:
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    before = cached[ALL]
    by_size = sorted(range(40), key=lambda row: os.stat(paths[row]).st_size)
    small, other, large = by_size[0], by_size[1], by_size[-1]
    shutil.copy(paths[small], paths[other])
    np.testing.assert_array_equal(cached[other], before[small])
    # Change a file in place, with the same size and the old time.
    status = os.stat(paths[large])
    with open(paths[large], "r+b") as file:
        file.write(Path(paths[small]).read_bytes().ljust(status.st_size, b"\0"))
    os.utime(paths[large], ns=(status.st_atime_ns, status.st_mtime_ns))
    np.testing.assert_array_equal(cached[large], before[small])
    settle(paths[large])
    cached[ALL]
    hits = cached.stats().hits
    changed = cached[ALL]
    assert cached.stats().hits == hits + 40
    np.testing.assert_array_equal(changed[[other, large]], before[[small, small]])
    os.unlink(paths[6])
    with pytest.raises(SampleReadError, match=r"cannot read sample 6, .*No such file"):
        cached[ALL]


def test_a_file_that_has_just_changed_is_not_kept(paths: list[str], tmp_path: Path) -> None:
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    os.utime(paths[0])
    cached[ALL], cached[ALL]
    assert cached.stats() == (39, 41)


def test_a_file_of_the_future_is_kept(paths: list[str], tmp_path: Path) -> None:
    os.utime(paths[0], ns=(2**62, 2**62))  # as from an archive, or by the clock of a file server
    settle(paths[0])
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    cached[ALL], cached[ALL]
    assert cached.stats() == (40, 40)


def test_another_setting_has_a_cache_of_its_own(paths: list[str], tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    images = rb.ImageFileAccessor(paths, SIZE)
    rb.CachedAccessor(images, directory, PLENTY)[ALL]
    others: list[Any] = [
        rb.ImageFileAccessor(paths, SIZE, fit="crop"),
        rb.ImageFileAccessor(paths, SIZE, mode="L"),
        rb.ImageFileAccessor(paths, SIZE, layout=rb.PixelLayout(dtype=np.float32)),
        rb.ImageFileAccessor(paths[::-1], SIZE),
    ]
    for number, other in enumerate(others):
        cached = rb.CachedAccessor(other, directory, PLENTY)
        np.testing.assert_array_equal(cached[ALL], other[ALL])
        assert cached.stats() == (0, 40)
        assert len(list(directory.iterdir())) == number + 2
    keyed = rb.CachedAccessor(images, directory, PLENTY, key="2")
    keyed[ALL]
    assert keyed.stats() == (0, 40)


def test_what_cannot_be_cached_says_why(photos: list[str], tmp_path: Path) -> None:
    varied = rb.CachedAccessor(rb.NonUniformImageFileAccessor(photos), tmp_path, PLENTY)
    with pytest.raises(TypeError, match="must be arrays of numbers, but a NonUniform"):
        varied[ALL]
    stored = rb.CachedAccessor(rb.ImageFileAccessor(photos), tmp_path, PLENTY)
    with pytest.raises(ValueError, match="a cache is for samples of one shape"):
        stored[0], stored[1]
    with pytest.raises(ValueError, match="max_bytes must be 1 or more, not 0"):
        rb.CachedAccessor(np.arange(3), tmp_path, 0)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        rb.CachedAccessor(np.arange(3), tmp_path / "file" / "cache", PLENTY)


@pytest.mark.parametrize("is_short", [False, True])
def test_a_full_disk_is_a_warning(
    paths: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_short: bool,
) -> None:
    whole, written = os.pwritev, 0

    def pwritev(file: int, parts: list[Any], place: int) -> int:
        nonlocal written
        written += 1
        if written <= 10:
            return whole(file, parts, place)
        if is_short:
            return whole(file, [parts[0], parts[1][:5]], place)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), tmp_path / "cache", PLENTY)
    monkeypatch.setattr(os, "pwritev", pwritev)
    with caplog.at_level(logging.WARNING):
        pixels = cached[ALL]
        np.testing.assert_array_equal(cached[ALL], pixels)
    assert cached.stats() == (10, 70)
    assert len(caplog.records) == 1
    assert "nothing more is added to the cache in" in caplog.text


def test_a_cache_that_is_removed_begins_anew(paths: list[str], tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    cached = rb.CachedAccessor(rb.ImageFileAccessor(paths, SIZE), directory, PLENTY)
    other = pickle.loads(pickle.dumps(cached))
    pixels = cached[ALL]
    shutil.rmtree(directory)
    np.testing.assert_array_equal(cached[ALL], pixels)
    np.testing.assert_array_equal(other[ALL], pixels)
    assert other.stats() == cached.stats() == (40, 80)
    assert rows_file(directory).exists()


class Closable(rb.ImageFileAccessor):
    """An accessor that reads nothing once the file `closed` exists beside its images."""

    def __getitem__(self, index: Any) -> Any:
        if (Path(self.name_of(0)).parent / "closed").exists():
            raise AssertionError("this was to be in the cache")
        return super().__getitem__(index)


def test_actors_share_it(paths: list[str], tmp_path: Path, actors: rb.RayActorPool) -> None:
    serial = rb.ArrayDataSource([rb.ImageFileAccessor(paths, SIZE)])
    cached = rb.CachedAccessor(Closable(paths, SIZE), tmp_path / "cache", PLENTY)
    source = rb.ArrayDataSource([cached])
    digest = rb.stream_digest(serial.batch_iterator(6, shuffle=1))
    # The reads of a second attempt, whose result is dropped, would not be counted.
    once = rb.Recovery(hedge_after=1000)
    with rb.Loader(source, 6, shuffle=1, pool=actors, recovery=once) as loader:
        assert rb.stream_digest(loader) == digest
    first = cached.stats()
    assert first.misses >= 40  # the actors' reads too; they have begun the next epoch
    Path(paths[0]).with_name("closed").touch()
    with rb.Loader(source, 6, shuffle=1, pool=actors, recovery=once) as loader:
        assert rb.stream_digest(loader) == digest
    # The loader tries one sample first. Misses can arrive late: those of the first loader's next
    # epoch, for images that its last batches still read.
    assert cached.stats().hits >= first.hits + 41
    assert source.path_of(3) == paths[3]


def test_remote_files_are_not_asked(paths: list[str]) -> None:
    files = UrlFiles()
    for url in ("https://nowhere.invalid/a.jpg", "s3://bucket/a.jpg"):
        assert files.signature(url) == ()
    assert files.signature(Path(paths[0]).as_uri()) == files.signature(paths[0])
    assert files.signature(paths[0])[2] == os.stat(paths[0]).st_size


def test_the_same_path_in_another_store_is_another_image(tmp_path: Path) -> None:
    for value, part in enumerate(("train", "val")):
        (tmp_path / part).mkdir()
        Image.new("L", (4, 4), value).save(tmp_path / part / "1.png")
        store = pyarrow.fs.SubTreeFileSystem(str(tmp_path / part), pyarrow.fs.LocalFileSystem())
        images = rb.ImageFileAccessor(["1.png"], (4, 4), mode="L", filesystem=store)
        cached = rb.CachedAccessor(images, tmp_path / "cache", PLENTY)
        assert (cached[np.array([0])] == value).all()


def test_urls_differ_in_what_names_the_file_but_not_in_credentials(tmp_path: Path) -> None:
    def found(url: str) -> Any:
        return Locations([url]).fingerprint()

    same = ["https://h/i?id=1", "https://h/i?id=1&X-Amz-Signature=ab", "https://me:pw@h/i?id=1"]
    assert len({str(found(url)) for url in same}) == 1
    others = ["https://h/i?id=2", "abfs://train@h/i", "abfs://val@h/i", "ftp://bob:pw@h/i"]
    assert len({str(found(url)) for url in (*same, *others)}) == 5
    assert found("abfs://val:secret@h/i") == found("abfs://val@h/i")
    keys = [pyarrow.fs.S3FileSystem(access_key=key, secret_key="x", region="eu") for key in "ab"]
    one, other = (Locations(["b/i"], filesystem=store).fingerprint() for store in keys)
    assert one == other


def test_the_working_directory_counts_for_relative_paths_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [
        str(Locations([path]).fingerprint()) for path in ("/a/1.png", "s3://b/1.png", "1.png")
    ]
    monkeypatch.chdir(tmp_path)
    after = [str(Locations([path]).fingerprint()) for path in ("/a/1.png", "s3://b/1.png", "1.png")]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]


def test_a_memory_map_that_was_rewritten_is_read_again(tmp_path: Path) -> None:
    for value, rows in ((2, 4), (7, 5)):
        np.full((rows, 3), value, np.uint8).tofile(tmp_path / "x.bin")
        stored = np.memmap(tmp_path / "x.bin", np.uint8, "r", shape=(4, 3))
        assert (rb.CachedAccessor(stored, tmp_path / "cache", PLENTY)[np.arange(4)] == value).all()


def test_its_fingerprint_has_the_random_part_too(paths: list[str], tmp_path: Path) -> None:
    changes = [augment.RandomCrop(4), augment.RandomHorizontalFlip()]
    images = [rb.ImageFileAccessor(paths, (8, 8), transform=change) for change in changes]
    cached = [rb.CachedAccessor(each, tmp_path / "cache", PLENTY) for each in images]
    assert cached[0].fingerprint() != cached[1].fingerprint()
