"""A disk cache of encoded bytes: right and current bytes, a limit, and fewer requests."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.errors import SampleReadError
from raybatch.stores.kept_files import KeptFiles
from raybatch.stores.local_files import FileVersion
from raybatch.stores.url_files import ArrowFiles, UrlFiles
from tests.servers import SECRET, http_server, s3_filesystem, s3_url
from tests.stores.shard_files import write_shards

SIZE = (16, 24)
ALL = np.arange(40)
ROOM = 10**9

# Uses a cache. The bytes of each key depend on the key, and their lengths vary.
PROGRAM = """
import hashlib, sys
import raybatch as rb


def content(number, version=0):
    return hashlib.sha256(f"{number} {version}".encode()).digest() * (20 + 37 * number % 400)


def use(directory, max_bytes, rounds):
    cache = rb.DiskCache(directory, max_bytes)
    for round in range(rounds):
        for number in range(200):
            assert cache.get(f"s3://bucket/{number}", lambda: content(number)) == content(number)
        print(round, flush=True)


use(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""


def content(number: int) -> bytes:
    return f"{number:04}".encode() * (100 + number)


def program(tmp_path: Path, directory: Path, max_bytes: int, rounds: int) -> subprocess.Popen[str]:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, str(path), str(directory), str(max_bytes), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kept_bytes(directory: Path) -> int:
    return sum(
        path.stat().st_size
        for path in directory.rglob("*")
        if path.name != "sizes.bin" and path.is_file()
    )


def hits(cache: rb.DiskCache, numbers: range) -> int:
    """Return how many of `numbers` are in the cache, and add the others."""
    made: list[int] = []

    def again(number: int) -> bytes:
        made.append(number)
        return content(number)

    for number in numbers:
        assert cache.get(str(number), partial(again, number)) == content(number)
    return len(numbers) - len(made)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of requests to stores, for a stream and for a part of a file.

    Opening a stream also returns the version of the file.
    """
    asked: Counter[str] = Counter()
    stream, read = ArrowFiles._stream, ArrowFiles._read

    def counted_stream(self: Any, path: str) -> Any:
        asked["stream"] += 1
        return stream(self, path)

    def counted_read(self: Any, path: str, start: int = 0, end: int | None = None) -> bytes:
        asked["part"] += end is not None
        return read(self, path, start, end)

    monkeypatch.setattr(ArrowFiles, "_stream", counted_stream)
    monkeypatch.setattr(ArrowFiles, "_read", counted_read)
    return asked


def s3_paths(photos: list[str]) -> list[str]:
    return [f"images/train set/{Path(photo).name}" for photo in photos]


def put(port: int, path: str, data: bytes) -> None:
    with s3_filesystem(port).open_output_stream(path) as stream:
        stream.write(data)


def test_the_second_epoch_asks_the_store_nothing(
    photos: list[str], s3: int, tmp_path: Path, asked: Counter[str]
) -> None:
    files = rb.ImageFileAccessor(photos, SIZE)[ALL]
    for paths, where in (
        ([s3_url(s3, path.removeprefix("images/")) for path in s3_paths(photos)], {}),
        (s3_paths(photos), {"filesystem": s3_filesystem(s3)}),
    ):
        asked.clear()
        cache = rb.DiskCache(tmp_path / "cache", ROOM)
        images = rb.ImageFileAccessor(paths, SIZE, io_threads=4, cache=cache, **where)
        for _ in range(3):
            np.testing.assert_array_equal(images[ALL], files)
        assert asked == {"stream": 40}  # as many as for one epoch without a cache
    for path in (tmp_path / "cache").rglob("*"):
        assert SECRET not in str(path)


def test_actors_share_what_is_kept(
    photos: list[str], s3: int, tmp_path: Path, actors: rb.RayActorPool
) -> None:
    cache = rb.DiskCache(tmp_path / "cache", ROOM)
    images = rb.ImageFileAccessor(s3_paths(photos), SIZE, filesystem=s3_filesystem(s3), cache=cache)
    files = rb.Loader(rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE)]), 8, shuffle=3)
    digest = rb.stream_digest(files)
    # The reads of a second attempt, whose result is dropped, would not be counted.
    once = rb.Recovery(hedge_after=1000)
    source = rb.ArrayDataSource([images])
    # Two loaders, because one would begin the second epoch while it still reads for the first.
    for counted in ("misses", "hits"):
        before = getattr(cache.stats(), counted)
        with rb.Loader(source, 8, shuffle=3, pool=actors, recovery=once) as loader:
            assert rb.stream_digest(loader) == digest
        assert getattr(cache.stats(), counted) - before >= 40  # the actors' reads count too
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(kept) == 41  # 40 images, and the file of sizes


def test_a_changed_object_is_read_again_by_the_next_program(
    photos: list[str], s3: int, tmp_path: Path, asked: Counter[str]
) -> None:
    put(s3, "images/one.jpg", Path(photos[0]).read_bytes())
    first, second = (rb.ImageFileAccessor(photos[:2], SIZE)[row] for row in range(2))

    def opened() -> rb.ImageFileAccessor:
        cache = rb.DiskCache(tmp_path, ROOM)
        return rb.ImageFileAccessor(
            ["images/one.jpg"], SIZE, filesystem=s3_filesystem(s3), cache=cache
        )

    np.testing.assert_array_equal(opened()[0], first)
    asked.clear()
    same = opened()
    for _ in range(2):
        np.testing.assert_array_equal(same[0], first)
    assert asked == {"stream": 1}  # to learn its version
    put(s3, "images/one.jpg", Path(photos[1]).read_bytes())
    np.testing.assert_array_equal(opened()[0], second)
    s3_filesystem(s3).delete_file("images/one.jpg")
    with pytest.raises(SampleReadError, match="FileNotFoundError"):
        opened()[0]


def test_a_changed_file_on_a_web_server_is_read_again(photos: list[str], tmp_path: Path) -> None:
    root, state = tmp_path / "root", tmp_path / "state"
    root.mkdir()
    state.mkdir()
    shutil.copy(photos[0], root / "one.jpg")
    with http_server(root, state) as port:

        def opened() -> Any:
            cache = rb.DiskCache(tmp_path / "cache", ROOM)
            return rb.ImageFileAccessor([f"http://127.0.0.1:{port}/one.jpg"], SIZE, cache=cache)[0]

        np.testing.assert_array_equal(opened(), rb.ImageFileAccessor(photos, SIZE)[0])
        shutil.copy(photos[1], root / "one.jpg")
        np.testing.assert_array_equal(opened(), rb.ImageFileAccessor(photos, SIZE)[1])


def test_members_of_shards_are_kept_and_changed_shards_are_read_again(
    photos: list[str], s3: int, tmp_path: Path, asked: Counter[str]
) -> None:
    def upload(photos: list[str]) -> None:
        write_shards(tmp_path, photos)
        for path in tmp_path.glob("*.tar"):
            put(s3, f"images/{path.name}", path.read_bytes())

    def opened() -> rb.EncodedImageAccessor:
        shards = rb.TarShards(
            "images/*.tar",
            filesystem=s3_filesystem(s3),
            index=tmp_path / "index.arrow",
            cache=rb.DiskCache(tmp_path / "cache", ROOM),
        )
        return shards.images("jpg", SIZE)

    files = rb.ImageFileAccessor(photos, SIZE)
    upload(photos)
    opened()[ALL]
    asked.clear()
    np.testing.assert_array_equal(opened()[ALL], files[ALL])
    assert asked["part"] == 0
    upload(photos[::-1])
    np.testing.assert_array_equal(opened()[ALL], files[ALL[::-1]])


def test_the_limit_holds_and_what_was_used_longest_ago_goes(tmp_path: Path) -> None:
    room = 70_000
    old = rb.DiskCache(tmp_path, room)
    assert hits(old, range(100)) == 0
    assert hits(old, range(100)) > 80
    assert kept_bytes(tmp_path) <= room
    new = rb.DiskCache(tmp_path, room)
    used = [number for number in range(50) if hits(new, range(number, number + 1))]
    assert kept_bytes(tmp_path) <= room
    before = new.stats()
    assert [hits(new, range(200, 220)) for _ in range(2)] == [0, 20]
    assert new.stats() == (before.hits + 20, before.misses + 20)
    assert kept_bytes(tmp_path) <= room
    # The new entries did not replace entries that this program has used.
    assert hits(new, range(50)) >= len(used) > 40


def test_a_lower_limit_holds_from_the_first_write_on(tmp_path: Path) -> None:
    hits(rb.DiskCache(tmp_path, 400_000), range(500))
    lower = rb.DiskCache(tmp_path, 50_000)
    hits(lower, range(1000, 1001))
    assert kept_bytes(tmp_path) <= 50_000
    assert hits(lower, range(1000, 1001)) == 1


def test_a_version_is_not_given_for_another(tmp_path: Path) -> None:
    cache = rb.DiskCache(tmp_path, ROOM)
    versions = [FileVersion(7, "a"), FileVersion(7, "b"), FileVersion(8, "b")]
    for number, version in enumerate(versions):
        for _ in range(2):
            assert cache.get("one", partial(content, number), version) == content(number)


def test_of_data_twice_as_large_half_is_found_in_every_epoch(tmp_path: Path) -> None:
    numbers = range(400)
    data_bytes = sum(36 + len(content(number)) for number in numbers)
    cache = rb.DiskCache(tmp_path, data_bytes // 2)
    found = [hits(cache, numbers) for _ in range(4)]
    assert found[0] == 0
    assert min(found[1:]) > 0.4 * len(numbers)
    another = rb.DiskCache(tmp_path, data_bytes // 2)  # like a later program
    assert min([hits(another, numbers) for _ in range(3)][1:]) > 0.4 * len(numbers)


def test_a_damaged_or_unfinished_entry_is_made_again(tmp_path: Path) -> None:
    cache = rb.DiskCache(tmp_path, ROOM)
    cache.get("one", partial(content, 1))
    (entry,) = (path for path in tmp_path.glob("*/*"))
    whole = entry.read_bytes()
    for damaged in (b"", whole[:10], whole[:-1], whole[:-1] + b"?", bytes(len(whole))):
        entry.write_bytes(damaged)
        assert cache.get("one", partial(content, 1)) == content(1)
        assert entry.read_bytes() == whole


def test_two_programs_on_one_cache_of_which_some_are_killed(tmp_path: Path) -> None:
    room = 400_000  # of 1.3 MB, so that programs remove entries that others read
    directory = tmp_path / "cache"
    steady = program(tmp_path, directory, room, 6)
    for _ in range(3):
        killed = program(tmp_path, directory, room, 10**6)
        assert killed.stdout is not None
        killed.stdout.readline()  # now it is in the middle of its work
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
    assert steady.communicate()[0].split() == [*"012345"]
    assert steady.returncode == 0
    last = program(tmp_path, directory, room, 1)
    last.communicate()
    assert last.returncode == 0
    assert kept_bytes(directory) <= 1.1 * room  # including unfinished files of killed programs


def test_a_disk_that_fills_is_stepped_aside_from(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to mount a small disk takes root and `unshare`")
    path = tmp_path / "fills.py"
    path.write_text("""
import os, sys
import raybatch as rb

cache = rb.DiskCache(sys.argv[1], 10**10)
content = lambda number: bytes([number]) * 2_000_000
for _ in range(2):
    made = []
    for number in range(50):
        assert cache.get(str(number), lambda: made.append(number) or content(number)) == content(number)
    print(len(made))
""")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        f"mount -t tmpfs -o size=64m tmpfs {disk} && exec {sys.executable} {path} {disk}/cache"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no disk can be mounted: {done.stderr}")
    assert done.returncode == 0, done.stderr
    first, second = map(int, done.stdout.split())
    assert first == 50
    assert 15 < second < 25  # about 30 of them fit on the disk
    assert done.stderr.count("nothing more is added to the cache") == 1


def test_a_directory_that_is_removed_is_made_again(tmp_path: Path) -> None:
    cache = rb.DiskCache(tmp_path / "cache", ROOM)
    hits(cache, range(10))

    def remove() -> None:
        for _ in range(200):
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)

    with ThreadPoolExecutor(1) as executor:
        removing = executor.submit(remove)
        while not removing.done():
            hits(cache, range(10))
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert hits(cache, range(10)) == 0
    assert hits(cache, range(10)) == 10


def test_a_folder_that_is_removed_while_it_is_made_ends_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = rb.DiskCache(tmp_path / "cache", ROOM)

    def found_and_removed(path: str, **options: Any) -> None:
        shutil.rmtree(tmp_path / "cache")
        raise FileExistsError(errno.EEXIST, "File exists", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", found_and_removed)
        hits(cache, range(1))
    assert hits(cache, range(10)) == 0
    assert hits(cache, range(10)) == 10


def test_threads_of_one_process_share_a_cache(tmp_path: Path) -> None:
    def use(start: int) -> None:
        for more in range(5):  # each cache removes entries of earlier caches
            hits(rb.DiskCache(tmp_path, 50_000), range(start, start + 100 + more))

    with ThreadPoolExecutor(8) as executor:
        for used in [executor.submit(use, 50 * number) for number in range(8)]:
            used.result()
    assert 40_000 < kept_bytes(tmp_path) <= 50_000


def test_what_cannot_be_is_an_error_where_it_is_given(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="is a URL"):
        rb.DiskCache("s3://bucket/cache", ROOM)
    with pytest.raises(TypeError, match="max_bytes must be an integer, not '20 GB'"):
        rb.DiskCache(tmp_path, "20 GB")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_bytes must be 1 or more"):
        rb.DiskCache(tmp_path, 0)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        rb.DiskCache(tmp_path / "file" / "cache", ROOM)
    with pytest.raises(TypeError, match=r"cache must be a raybatch\.DiskCache"):
        rb.ImageFileAccessor(photos, SIZE, cache=str(tmp_path))  # type: ignore[arg-type]
    rb.ImageFileAccessor(photos, SIZE, cache=rb.DiskCache(tmp_path, ROOM))
    assert "cache= has no effect here" in capsys.readouterr().err


def test_containers_and_users_with_the_same_paths_have_entries_of_their_own(tmp_path: Path) -> None:
    cache = rb.DiskCache(tmp_path, ROOM)
    files = KeptFiles(UrlFiles(), cache, None)
    urls = ("abfs://a@h/1.jpg", "abfs://b@h/1.jpg", "abfs://a:secret@h/1.jpg")
    assert len({files._key(url) for url in urls}) == 2
