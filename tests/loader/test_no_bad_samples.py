"""Storage errors and temporary errors, which never make a sample bad."""

from __future__ import annotations

import errno
import http.server
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import raybatch as rb
from raybatch.retries import Retries
from raybatch.stores.local_files import LocalFiles
from tests.servers import s3_filesystem, s3_url

POLICIES = ("skip", "replace")
SIZE = (8, 8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without waits between the attempts."""
    monkeypatch.setattr(Retries.__init__, "__defaults__", (4, 0.0, lambda seconds: None))


def images_in(folder: Path) -> rb.ArrayDataSource:
    return rb.ArrayDataSource([rb.ImageFileAccessor(sorted(folder.iterdir()), SIZE), np.arange(12)])


def count(source: Any, policy: Any, pool: Any = None) -> tuple[int, int]:
    """Return how many samples an epoch delivers, and how many bad samples it finds."""
    with rb.Loader(source, 4, pool=pool, bad_samples=policy) as loader:
        return sum(len(batch[0]) for batch in loader), len(loader.bad_samples)


def test_one_file_that_is_gone_is_a_bad_sample(folder: Path) -> None:
    source = images_in(folder)
    (folder / "05.png").unlink()
    assert count(source, "skip") == (11, 1)
    assert count(source, "replace") == (12, 1)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("change", ["gone", "empty", "a file"])
def test_a_folder_that_is_gone_is_none(folder: Path, policy: str, change: str) -> None:
    source = images_in(folder)
    shutil.rmtree(folder)
    if change == "empty":
        folder.mkdir()
    elif change == "a file":
        folder.write_text("")
    with pytest.raises(
        rb.errors.BatchError, match="does not count as bad, because the storage"
    ) as caught:
        count(source, policy)
    assert f"'{folder}'" in caught.value.reason
    assert "the folder of the samples" in caught.value.reason
    assert isinstance(caught.value.__cause__.__cause__, rb.errors.StorageError)  # type: ignore[union-attr]


def test_the_folder_of_the_samples_is_what_all_of_them_are_in(tmp_path: Path) -> None:
    """If each sample has its own folder, a missing folder means only one bad sample."""
    paths = [tmp_path / "all" / str(number) / "scan.png" for number in range(12)]
    for path in paths:
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, SIZE)])
    shutil.rmtree(paths[7].parent)
    assert count(source, "skip") == (11, 1)
    shutil.rmtree(tmp_path / "all")
    with pytest.raises(rb.errors.BatchError, match=f"'{tmp_path}/all'"):
        count(source, "skip")


@pytest.mark.parametrize("closed", ["all", "dog"])
def test_a_folder_that_is_closed_is_no_bad_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    paths = [tmp_path / "all" / ("cat", "dog")[n % 2] / f"{n}.png" for n in range(24)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, SIZE)])
    read, scanned = LocalFiles._open, os.scandir

    def refuse(path: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def opened(files: LocalFiles, path: str) -> IO[bytes]:
        return refuse(path) if "dog" in path else read(files, path)

    def scan(folder: Any) -> Any:
        return refuse(folder) if folder.endswith(closed) else scanned(folder)

    # Root may read everything, so the test replaces the functions that open files and list folders.
    monkeypatch.setattr(LocalFiles, "_open", opened)
    with pytest.raises(rb.errors.BadSamplesError):
        count(source, "skip")  # the folders can be listed, so each file counts as bad
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(rb.errors.BatchError, match="does not count as bad, because the storage"):
        count(source, "skip")


def test_actors_say_so_too(folder: Path, actors: rb.RayActorPool) -> None:
    source = images_in(folder)
    shutil.rmtree(folder)
    with pytest.raises(rb.errors.BatchError, match="does not count as bad, because the storage"):
        count(source, "skip", actors)


def test_a_parquet_file_that_is_gone_is_none(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "classes" / "red")
    rb.to_parquet(tmp_path / "classes", tmp_path / "files")
    source = rb.ArrayDataSource([rb.ParquetImageAccessor(tmp_path / "files", size=SIZE)])
    assert count(source, "skip") == (12, 0)
    os.unlink(tmp_path / "files")
    source = pickle.loads(pickle.dumps(source))  # the original still has the file open
    with pytest.raises(rb.errors.BatchError, match="does not count as bad, because the storage"):
        count(source, "skip")


@pytest.mark.parametrize("as_urls", [False, True])
def test_a_bucket_that_is_gone_is_none(s3: int, as_urls: bool) -> None:
    def images(bucket: str) -> rb.ArrayDataSource:
        filesystem = None if as_urls else s3_filesystem(s3)
        url = s3_url(s3, "{}.png", bucket)
        names = [url if as_urls else f"{bucket}/{{}}.png"] * 8
        paths = [name.replace("%7B%7D", "{}").format(n) for n, name in enumerate(names)]
        return rb.ArrayDataSource([rb.ImageFileAccessor(paths, SIZE, filesystem=filesystem)])

    with pytest.raises(
        rb.errors.BatchError, match=r"there is no 'gone' in this store.*the storage"
    ):
        count(images("gone"), "skip")
    with pytest.raises(rb.errors.BadSamplesError):
        count(images("images"), "skip")  # this bucket exists, and only its files are missing


@contextmanager
def server_that_refuses(image: bytes, after: int, status: int) -> Iterator[tuple[str, list[str]]]:
    """Run a web server that sends `image` for the first `after` requests, and then only `status`.

    Yield its URL, and the list of the paths that were requested.
    """
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            data = image if len(asked) <= after else b"ExpiredToken"
            self.send_response(200 if len(asked) <= after else status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_expire_are_no_bad_samples(folder: Path, policy: str, status: int) -> None:
    pytest.importorskip("fsspec")
    image = (folder / "00.png").read_bytes()
    with server_that_refuses(image, 10, status) as (url, asked):
        images = rb.ImageFileAccessor([f"{url}/{number}.png" for number in range(40)], SIZE)
        loader = rb.Loader(rb.ArrayDataSource([images]), 4, bad_samples=policy)
        batches = iter(loader)
        assert [len(next(batches)[0]) for _ in range(2)] == [4, 4]
        with pytest.raises(
            rb.errors.BatchError, match=f"{status}.*does not count as bad, because the storage"
        ):
            next(batches)
        assert len(loader.bad_samples) == 0
        assert len(asked) < 20, "what is refused is not asked for again and again"


def test_a_host_that_is_gone_is_no_bad_sample(quick: None) -> None:
    pytest.importorskip("fsspec")
    images = rb.ImageFileAccessor([f"http://127.0.0.1:1/{number}.png" for number in range(8)], SIZE)
    with pytest.raises(
        rb.errors.BatchError, match=r"127\.0\.0\.1.*does not count as bad, because the storage"
    ):
        count(rb.ArrayDataSource([images]), "skip")


def anew(error: Exception) -> Exception:
    """Return a copy of `error` to raise, since a raised error keeps its whole traceback alive."""
    return type(error)(*error.args)


PASSING = [
    OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    OSError(errno.EIO, os.strerror(errno.EIO)),
    TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)),
    ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
]


@pytest.mark.parametrize("policy", ["raise", *POLICIES])
@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_fails_once_on_a_mounted_file_system_is_read_again(
    folder: Path, policy: str, error: OSError, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    source, failed, read = images_in(folder), set(), LocalFiles._open

    def flaky(files: LocalFiles, path: str) -> IO[bytes]:
        if path not in failed:
            failed.add(path)
            raise anew(error)
        return read(files, path)

    monkeypatch.setattr(LocalFiles, "_open", flaky)
    assert count(source, policy) == (12, 0)
    assert len(failed) == 12


@pytest.mark.parametrize("function", ["stat", "memory_map"])
def test_packed_files_are_opened_again_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None, function: str
) -> None:
    rb.pack(images_in(folder), tmp_path / "packed", batch_size=4)
    source = rb.ArrayDataSource([rb.PackedAccessor(tmp_path / "packed")])
    where: Any = Path if function == "stat" else pa
    real, failures = getattr(where, function), PASSING[:2]

    def flaky(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise anew(failures.pop())
        return real(*arguments, **options)

    monkeypatch.setattr(where, function, flaky)
    assert count(source, "raise") == (12, 0)
    assert not failures


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_does_not_pass_is_an_error_and_no_bad_sample(
    folder: Path, error: OSError, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    source = images_in(folder)

    def failing(files: LocalFiles, path: str) -> IO[bytes]:
        raise anew(error)

    monkeypatch.setattr(LocalFiles, "_open", failing)
    with pytest.raises(
        rb.errors.BatchError, match=r"00\.png.*does not count as bad, because the storage"
    ):
        count(source, "skip")


def test_the_waits_on_files_of_this_machine_are_those_of_remote_ones(folder: Path) -> None:
    slept: list[float] = []
    files = LocalFiles(Retries(sleep=slept.append))
    files._open = lambda path: (_ for _ in ()).throw(OSError(errno.ESTALE, "stale"))  # type: ignore[method-assign]
    with pytest.raises(OSError, match="stale"):
        files.open(str(folder / "00.png"))
    assert len(slept) == Retries().attempts - 1


class Flaky:
    """An array-like in which each row fails to load with a probability of 1/200."""

    def __init__(self, error: Exception) -> None:
        self.error, self.failed = error, 0
        self.rng = np.random.default_rng(1)

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: Any) -> Any:
        if (self.rng.random(len(index)) < 0.005).any():
            self.failed += 1
            raise anew(self.error)
        return np.asarray(index)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O"), ValueError("now and then")], ids=repr)
@pytest.mark.parametrize("policy", POLICIES)
def test_reads_that_fail_now_and_then_neither_end_a_run_nor_thin_it(
    policy: str, error: Exception, quick: None
) -> None:
    flaky = Flaky(error)
    loader = rb.Loader(rb.ArrayDataSource([flaky]), 64, bad_samples=policy)
    assert sum(len(batch) for (batch,) in loader) == 4096
    assert len(loader.bad_samples) == 0
    assert flaky.failed > 10


def test_a_variable_that_actors_lack_is_what_is_advised_on(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Secret:
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: Any) -> Any:
            os.environ["RAYBATCH_TEST_TOKEN"]
            return np.asarray(index)

    monkeypatch.setenv("RAYBATCH_TEST_TOKEN", "x")
    source = rb.ArrayDataSource([Secret()])
    with rb.RayActorPool(1) as pool:
        for policy in ("raise", "skip"):
            with pytest.raises(
                rb.errors.BatchError, match=r"HostError.*RAYBATCH_TEST_TOKEN"
            ) as caught:
                count(source, policy, pool)
            assert "If RAYBATCH_TEST_TOKEN is an environment variable" in caught.value.reason
            assert "Mount or copy" not in caught.value.reason
