"""The classes of errors (sample, program, place, transient), and the advice in messages."""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import pickle
import socket
import urllib.error
from email.message import Message

import pytest
from PIL import Image, UnidentifiedImageError

from raybatch.errors import (
    HostError,
    ImageReadError,
    PackError,
    SampleReadError,
    StorageError,
    TransformError,
)
from raybatch.faults import Fault, advice, fault_of

SAMPLE, PROGRAM, PLACE, PASSING = Fault.SAMPLE, Fault.PROGRAM, Fault.PLACE, Fault.PASSING


class ClientResponseError(Exception):
    """An error like aiohttp's; those of requests and Azure name the status differently."""

    def __init__(self, **status: int) -> None:
        super().__init__(str(status))
        self.__dict__.update(status)


class NoCredentialsError(Exception):
    """An error like botocore's."""


def http_error(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://a/b", status, "said so", Message(), None)


def system_error(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


def caused(error: Exception, *causes: Exception) -> Exception:
    link = error
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return error


def in_sample(*causes: Exception) -> Exception:
    return caused(SampleReadError("a.jpg", 0, "reason"), *causes)


def in_broken(*causes: Exception) -> Exception:
    return caused(SampleReadError("a.jpg", 0, "reason", "PNG", is_broken=True), *causes)


def in_image(*causes: Exception) -> Exception:
    return in_sample(ImageReadError("PNG", "reason"), *causes)


FAULTS = [
    # The content of a file, or a missing file.
    (ValueError("17 is bad"), SAMPLE),
    (ArithmeticError("no nines"), SAMPLE),
    (RuntimeError("cannot decode"), SAMPLE),
    (EOFError(), SAMPLE),
    (SystemExit(3), SAMPLE),
    (in_sample(system_error(errno.ENOENT, "a.jpg")), SAMPLE),
    (in_sample(system_error(errno.EACCES, "a.jpg")), SAMPLE),
    (in_sample(ClientResponseError(status=404)), SAMPLE),
    (http_error(404), SAMPLE),
    (in_sample(OSError("the image is null")), SAMPLE),
    (in_image(UnidentifiedImageError("cannot identify image file")), SAMPLE),
    # A broken file may make a decoder raise any error.
    (in_image(SyntaxError("broken PNG file")), SAMPLE),
    (in_image(IndexError("index out of range")), SAMPLE),
    (in_image(TypeError("an integer is required")), SAMPLE),
    (in_image(MemoryError()), SAMPLE),
    (in_broken(TypeError("an integer is required")), SAMPLE),
    (in_broken(system_error(errno.EIO)), PASSING),
    (in_image(TransformError("f raised"), ValueError("no box")), SAMPLE),
    # The error that the program raised counts, not its cause.
    (caused(ValueError("no such key"), KeyError("a")), SAMPLE),
    # Errors in the program's own code.
    (NameError("name 'x' is not defined"), PROGRAM),
    (AssertionError(), PROGRAM),
    (TypeError("f() takes 1 argument"), PROGRAM),
    (AttributeError("no attribute"), PROGRAM),
    (KeyError("a"), PROGRAM),
    (IndexError("out of range"), PROGRAM),
    (ModuleNotFoundError("No module named 'a'"), PROGRAM),
    (NotImplementedError(), PROGRAM),
    (in_image(TransformError("f raised"), NameError("x")), PROGRAM),
    # Errors of the place that holds the samples.
    (StorageError("the folder of the samples is empty"), PLACE),
    (in_sample(StorageError("403")), PLACE),
    (PackError("damaged"), PLACE),
    (MemoryError(), PLACE),
    (FileNotFoundError("The specified bucket does not exist"), PLACE),
    (PermissionError("AccessDenied"), PLACE),
    (system_error(errno.EACCES), PLACE),
    (system_error(errno.ENOSPC), PLACE),
    (system_error(errno.EKEYEXPIRED), PLACE),
    (ClientResponseError(status=403), PLACE),
    (ClientResponseError(status=401), PLACE),
    (ClientResponseError(status_code=403), PLACE),
    (ClientResponseError(code=401), PLACE),
    (http_error(403), PLACE),
    (NoCredentialsError("Unable to locate credentials"), PLACE),
    (OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body."), PLACE),
    (OSError("AWS Error UNKNOWN (HTTP status 400) during HeadObject operation"), PLACE),
    # Transient errors.
    (system_error(errno.ESTALE, "a.jpg"), PASSING),
    (system_error(errno.EIO), PASSING),
    (system_error(errno.ETIMEDOUT), PASSING),
    (system_error(errno.ENOTCONN), PASSING),
    (system_error(errno.EHOSTUNREACH), PASSING),
    (system_error(errno.EMFILE), PASSING),
    (in_image(system_error(errno.EIO)), PASSING),
    (ConnectionResetError("reset"), PASSING),
    (TimeoutError(), PASSING),
    (asyncio.TimeoutError(), PASSING),
    (socket.gaierror(-3, "Temporary failure in name resolution"), PASSING),
    (urllib.error.URLError("no route"), PASSING),
    (http.client.IncompleteRead(b""), PASSING),
    (http_error(503), PASSING),
    (ClientResponseError(status=429), PASSING),
    (OSError("AWS Error SLOW_DOWN during GetObject operation: x"), PASSING),
    (caused(RuntimeError("cannot read"), ConnectionResetError("reset")), PASSING),
]


@pytest.mark.parametrize(("error", "fault"), FAULTS, ids=lambda value: repr(value)[:60])
def test_whose_fault_an_error_is(error: BaseException, fault: Fault) -> None:
    assert fault_of(error) is fault


def test_causes_that_run_in_a_circle_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert fault_of(first) is SAMPLE


ADVICE = [
    ("FileNotFoundError: [Errno 2] No such file or directory: '/data/a.jpg'", "Mount or copy"),
    ("the folder is empty", "Mount or copy"),
    ("SampleReadError: x: StorageError: the folder of the samples is empty: '/data'", "Mount or"),
    (
        "KeyError: 'HF_TOKEN'",
        "If HF_TOKEN is an environment variable: set it before Ray is started",
    ),
    ("ModuleNotFoundError: No module named 'rows'", "ray job submit --working-dir"),
    ("AttributeError: Can't get attribute 'Rows' on <module 'a'>", "Install that code"),
    (
        "BlockingIOError: [Errno 11] Unable to open file (unable to lock file, errno = 11)",
        "reading only",
    ),
    (
        f"{Image.DecompressionBombError.__name__}: Image size exceeds limit",
        "Image.MAX_IMAGE_PIXELS",
    ),
    ("ImageReadError: UnidentifiedImageError: cannot identify image file", "If a plug-in opens"),
    ("PermissionError: [Errno 13] Permission denied: '/data'", "permission to read it"),
    ("OSError: ClientResponseError: 403, message='Forbidden'", "the same credentials"),
    ("OSError: AWS Error ACCESS_DENIED during HeadObject", "the same credentials"),
    (
        "OSError: ClientConnectorError: Cannot connect to host a:1",
        "Check that the host reaches the network",
    ),
]


@pytest.mark.parametrize(("error", "wanted"), ADVICE)
def test_advice_is_by_the_kind_of_error(error: str, wanted: str) -> None:
    given = advice(error)
    assert wanted in given
    assert ("Mount or copy" in given) is wanted.startswith("Mount")


@pytest.mark.parametrize(
    "error",
    ["ValueError: 7 is bad", "KeyError: 'label'", "AttributeError: 'A' has no attribute 'b'"],
)
def test_where_nothing_is_known_nothing_is_advised(error: str) -> None:
    assert advice(error) == ""
    assert str(HostError("sample 3", {"10.0.0.1": error}, advice(error))).endswith(f": {error}")


def test_advice_on_several_hosts_is_given_once() -> None:
    assert advice("KeyError: 'A'", "KeyError: 'A'").count("If A is") == 1
    error = HostError("sample 3", {"10.0.0.1": "x"}, "Do this")
    assert pickle.loads(pickle.dumps(error)).advice == "Do this"
    assert str(error).endswith("host 10.0.0.1: x. Do this")
