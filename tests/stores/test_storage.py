"""Images in object stores, on web servers and in other file systems."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pytest

import raybatch as rb
from raybatch.errors import SampleReadError
from raybatch.faults import is_transient
from raybatch.retries import Retries
from raybatch.stores.fsspec_files import FsspecFiles
from raybatch.stores.secrets import redacted, without_secrets
from raybatch.stores.url_files import ArrowFiles, UrlFiles
from tests.drivers import wait_for
from tests.servers import KEY, SECRET, s3_filesystem, s3_url

SIZE = (16, 24)
ALL = np.arange(40)
TOKEN = "0123456789abcdef"


def s3_paths(photos: list[str]) -> list[str]:
    return [f"images/train set/{Path(path).name}" for path in photos]


def s3_urls(port: int, photos: list[str]) -> list[str]:
    return [s3_url(port, f"train set/{Path(path).name}") for path in photos]


def test_local_paths_and_urls_go_together(photos: list[str], s3: int, http: str) -> None:
    paths = [photos[0], *s3_urls(s3, photos[1:2]), f"{http}/{Path(photos[2]).name}"]
    np.testing.assert_array_equal(
        rb.ImageFileAccessor(paths, SIZE)[np.arange(3)],
        rb.ImageFileAccessor(photos, SIZE)[np.arange(3)],
    )


@pytest.mark.parametrize("as_urls", [False, True])
def test_actors_read_from_s3_what_is_read_here(
    photos: list[str], s3: int, actors: rb.RayActorPool, as_urls: bool
) -> None:
    paths = s3_urls(s3, photos) if as_urls else s3_paths(photos)
    filesystem = None if as_urls else s3_filesystem(s3)
    images = rb.ImageFileAccessor(paths, SIZE, filesystem=filesystem, io_threads=4)
    serial = rb.stream_digest(
        rb.ArrayDataSource([rb.ImageFileAccessor(photos, SIZE), ALL]).batch_iterator(16, shuffle=7)
    )
    source = rb.ArrayDataSource([images, ALL])
    with rb.Loader(source, 16, shuffle=7, pool=actors) as loader:
        assert rb.stream_digest(loader) == serial


@pytest.mark.parametrize("io_threads", [1, 4])
def test_a_missing_object_is_named_with_its_cause(
    photos: list[str], s3: int, http: str, io_threads: int
) -> None:
    for paths, filesystem in (
        ([*s3_paths(photos[:2]), "images/none.jpg"], s3_filesystem(s3)),
        ([*photos[:2], s3_url(s3, "none.jpg")], None),
        ([*photos[:2], f"{http}/none.jpg"], None),
    ):
        accessor = rb.ImageFileAccessor(paths, SIZE, filesystem=filesystem, io_threads=io_threads)
        with pytest.raises(SampleReadError, match=r"sample 2.*none\.jpg") as caught:
            accessor[np.arange(3)]
        assert isinstance(caught.value.__cause__, FileNotFoundError)


class Stub:
    """A file system of one file, like fsspec's; `before` runs before each read."""

    def __init__(self, data: bytes, before: Callable[[], object]) -> None:
        self.data = data
        self.before = before

    def cat_file(self, path: str) -> bytes:
        self.before()
        return self.data


def test_files_of_a_batch_are_read_at_the_same_time(photos: list[str]) -> None:
    barrier = threading.Barrier(3)
    stub = Stub(Path(photos[0]).read_bytes(), lambda: barrier.wait(30))
    others = set(threading.enumerate())
    accessor = rb.ImageFileAccessor(["x"] * 6, SIZE, filesystem=stub, io_threads=3)
    assert accessor[np.arange(6)].shape == (6, *SIZE, 3)
    del accessor
    wait_for(lambda: set(threading.enumerate()) <= others, "the end of the threads", 30)


def test_local_files_that_are_read_ahead_are_closed(photos: list[str], tmp_path: Path) -> None:
    """A file that stays open would raise a ResourceWarning, which is an error here."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    accessor = rb.ImageFileAccessor([str(broken), *photos], SIZE, io_threads=2)
    with pytest.raises(SampleReadError, match="sample 0"):
        accessor[np.arange(41)]


@pytest.mark.parametrize(
    ("failures", "waits"),
    [
        ([ConnectionResetError("reset")], 1),
        ([TimeoutError(), OSError("AWS Error SLOW_DOWN during GetObject operation: x")], 2),
        ([OSError("AWS Error UNKNOWN (HTTP status 503) during GetObject operation")], 1),
        ([OSError("AWS Error NETWORK_CONNECTION during HeadObject: curlCode: 56")] * 3, 3),
    ],
)
def test_what_fails_in_passing_is_tried_again(failures: list[Exception], waits: int) -> None:
    slept: list[float] = []
    store = flaky(failures, slept)
    assert store.open("any").read() == b"data"
    assert len(slept) == waits
    for attempt, seconds in enumerate(slept):
        assert 0.1 * 2**attempt <= seconds <= 0.2 * 2**attempt


def flaky(failures: list[Exception], slept: list[float]) -> Any:
    left = list(failures)

    def fail() -> None:
        if left:
            raise left.pop(0)

    retries = Retries(sleep=slept.append)
    return FsspecFiles(Stub(b"data", fail), retries)


@pytest.mark.parametrize(
    "failure",
    [
        FileNotFoundError("a timeout is what this file is about"),
        PermissionError("HTTP status 503"),
        OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body."),
        ValueError("no image"),
    ],
)
def test_what_stays_wrong_is_raised_at_once(failure: Exception) -> None:
    slept: list[float] = []
    kind = type(failure) if isinstance(failure, OSError) else OSError
    with pytest.raises(kind, match=str(failure)[:10]):
        flaky([failure] * 2, slept).open("any")
    assert not slept


def test_attempts_are_bounded() -> None:
    slept: list[float] = []
    with pytest.raises(ConnectionResetError):
        flaky([ConnectionResetError()] * 9, slept).open("any")
    assert len(slept) == 3


def test_a_busy_web_server_is_asked_again_and_one_that_refuses_is_not(http: str) -> None:
    slept: list[float] = []
    store = UrlFiles(Retries(sleep=slept.append))
    with pytest.raises(OSError, match="503"):
        store.open(f"{http}/busy/x.jpg")
    assert len(slept) == 3
    for path, message in (("denied/x.jpg", "403"), ("none.jpg", "none.jpg")):
        with pytest.raises(OSError, match=message):
            store.open(f"{http}/{path}")
    assert len(slept) == 3


def test_what_arrow_says_of_a_busy_store_is_understood(http: str) -> None:
    once = pa.fs.AwsDefaultS3RetryStrategy(1)
    slept: list[float] = []
    filesystem = s3_filesystem(int(http.rpartition(":")[2]), retry_strategy=once)
    store = ArrowFiles(filesystem, Retries(sleep=slept.append))
    with pytest.raises(OSError, match="503"):
        store.open("busy/x.jpg")
    assert len(slept) == 3
    for path, message in (
        ("denied/x.jpg", "ACCESS_DENIED"),
        ("other/x.jpg", "no 'other' in this store"),
    ):
        with pytest.raises(OSError, match=message):
            store.open(path)
    assert len(slept) == 3


def test_a_server_that_is_gone_is_a_transient_error() -> None:
    with pytest.raises(OSError) as caught:
        s3_filesystem(
            1, connect_timeout=0.5, retry_strategy=pa.fs.AwsDefaultS3RetryStrategy(1)
        ).open_input_stream("a/b")
    assert is_transient(caught.value)
    slept: list[float] = []
    with pytest.raises(OSError, match="Connect"):
        UrlFiles(Retries(sleep=slept.append)).open("http://127.0.0.1:1/x.jpg")
    assert len(slept) == 3


SECRETS = (SECRET, quote(SECRET, safe=""), KEY, TOKEN)


def assert_no_secret(*things: object) -> None:
    for thing in things:
        for text in (str(thing), repr(thing)):
            assert not [secret for secret in SECRETS if secret in text], text
        if isinstance(thing, BaseException):
            assert_no_secret(*thing.args, "".join(traceback.format_exception(thing)))
            for other in (thing.__cause__, thing.__context__):
                if other is not None:
                    assert_no_secret(other)


@pytest.mark.parametrize(
    "template",
    [
        "s3://{key}:{secret}@images/none.jpg?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{port}",
        "s3://{key}:{raw}@images/none.jpg?scheme=http",
        "s3://images/none.jpg?access_key={key}&secret_key={secret}",
        "{http}/none.jpg?X-Amz-Signature={token}&X-Amz-Credential={key}%2F2026",
        "{http}/busy/none.jpg?X-Amz-Signature={token}",
        "{http}/denied/none.jpg?sig={token}",
        "http://user:{token}@127.0.0.1:1/none.jpg",
    ],
)
def test_credentials_appear_nowhere(
    photos: list[str],
    s3: int,
    http: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    template: str,
) -> None:
    monkeypatch.setattr(Retries.__init__, "__defaults__", (2, 0.0, lambda seconds: None))
    url = template.format(
        key=KEY, secret=quote(SECRET, safe=""), raw=SECRET, token=TOKEN, port=s3, http=http
    )
    accessor = rb.ImageFileAccessor([photos[0], url], SIZE, io_threads=2)
    assert_no_secret(accessor, accessor.name_of(1))
    assert "none.jpg" in accessor.name_of(1)
    with pytest.raises(SampleReadError, match=r"none\.jpg") as caught:
        accessor[np.arange(2)]
    assert_no_secret(caught.value, caught.value.path, caught.value.reason)
    with pytest.raises(TypeError) as wrong:
        rb.ImageFileAccessor(url, SIZE)
    assert_no_secret(wrong.value)
    source = rb.ArrayDataSource([accessor])
    with pytest.raises(rb.errors.RaybatchError) as raised:
        list(rb.Loader(source, 2))
    assert_no_secret(raised.value)
    loader = rb.Loader(source, 2, bad_samples="skip")
    if "busy" in url or "denied" in url or ":1/" in url:  # no sample is to blame for these
        with pytest.raises(
            rb.errors.BatchError, match="does not count as bad, because the storage"
        ) as told:
            list(loader)
        assert_no_secret(told.value)
        return
    assert [len(x) for (x,) in loader] == [1]
    (bad,) = loader.bad_samples
    loader.bad_samples.save(tmp_path / "bad.jsonl")
    assert_no_secret(bad, bad.path, bad.message, (tmp_path / "bad.jsonl").read_text())
    assert bad.path == accessor.name_of(1)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/data/a?b@c.jpg", "/data/a?b@c.jpg"),
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg"),
        ("s3://bucket/a@b.jpg", "s3://bucket/a@b.jpg"),
        ("s3://k:s/e@bucket/a b.jpg?region=x y", "s3://***@bucket/a b.jpg?***"),
        ("zip://a.jpg::https://u:p@host/x.zip?sig=1", "zip://a.jpg::https://***@host/x.zip?***"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(path: str, shown: str) -> None:
    assert redacted(path) == shown
    assert without_secrets(f"no {path}", path) == f"no {shown}"


def test_what_only_says_where_the_store_is_stays_in_messages() -> None:
    url = "s3://bucket/x?scheme=http&region=us-east-1&secret_key=abc%2Fdef"
    text = "abc/def at http://host in us-east-1"
    assert without_secrets(text, url) == "*** at http://host in us-east-1"


def test_what_a_server_was_redirected_to_is_hidden_too() -> None:
    text = "404, url='https://u:p@other/x?Signature=abc', twice https://a/b?c=d"
    assert (
        without_secrets(text, "s3://a/b")
        == "404, url='https://***@other/x?***', twice https://a/b?***"
    )


def test_wrong_arguments_are_errors_where_they_are_given(
    photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: Any = "s3"
    with pytest.raises(TypeError, match=r"filesystem must be one of pyarrow\.fs or fsspec"):
        rb.ImageFileAccessor(photos, filesystem=wrong)
    with pytest.raises(ValueError, match="io_threads must be 1 or more, not 0"):
        rb.NonUniformImageFileAccessor(photos, io_threads=0)
    with pytest.raises(ValueError, match="nosuch"):
        rb.ImageFileAccessor([*photos, "nosuch://a/b.jpg"])
    rb.ImageFileAccessor([*photos, "/folder/nosuch://a/b.jpg", os.fsencode("/\udcff://x")])
    monkeypatch.delitem(sys.modules, "raybatch.stores.fsspec_files", raising=False)
    monkeypatch.delattr("raybatch.stores.fsspec_files", raising=False)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"raybatch\[remote\]"):
        rb.ImageFileAccessor([*photos, "https://host/b.jpg"])
    rb.ImageFileAccessor([*photos, "s3://bucket/b.jpg"])


def test_a_store_of_arrow_is_pickled_without_its_connections(s3: int, photos: list[str]) -> None:
    store = UrlFiles()
    (url,) = s3_urls(s3, photos[:1])
    assert store.open(url).read() == Path(photos[0]).read_bytes()
    copy = pickle.loads(pickle.dumps(store))
    assert copy.open(url).read() == Path(photos[0]).read_bytes()
    files, path = copy.locate(url)
    assert isinstance(files, ArrowFiles)
    assert path == s3_paths(photos)[0]
