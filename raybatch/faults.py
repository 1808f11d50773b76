"""Whose fault an error is: the sample's, the program's, or that of the place where samples lie; and what may pass.

Retries, bad samples and the advice in messages all follow what is told here.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from enum import Enum, auto

from raybatch.errors import ImageReadError, PackError, SampleReadError, StorageError, TransformError


class Fault(Enum):
    """Whose fault an error is."""

    SAMPLE = auto()  # this one cannot be read, whoever tries
    PROGRAM = auto()  # the program's own code is wrong
    PLACE = auto()  # credentials, a folder, a host or a disk: other samples have it too
    PASSING = auto()  # of the place, and perhaps gone the next time


# What Python raises where code is wrong. A broken file may make a decoder raise any of these: there it is the sample's.
_OF_PROGRAM = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
)

_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_PASSING = (ConnectionError, TimeoutError)


def _errnos(names: str) -> frozenset[int]:
    # No system has all of them.
    return frozenset(getattr(errno, name) for name in names.split() if hasattr(errno, name))


_PASSING_ERRNOS = _errnos(
    "EIO ESTALE EREMOTEIO EAGAIN EBUSY ENOLCK ENETDOWN ENETUNREACH ENETRESET EHOSTDOWN EHOSTUNREACH ETIMEDOUT ENOTCONN "
    "EMFILE ENFILE ENOBUFS ENOMEM"
)
_PLACE_ERRNOS = _errnos(
    "ENODEV ENXIO ENOMEDIUM EROFS ENOSPC EDQUOT ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED"
)
# Libraries that are not imported here have errors of their own; and before Python 3.11 asyncio and concurrent.futures
# have timeouts that are no `TimeoutError`.
_PASSING_NAMES = {
    *("TimeoutError", "Timeout", "gaierror", "URLError", "IncompleteRead", "ProtocolError"),
    *("ConnectionError", "ConnectError", "ReadError", "EndpointConnectionError"),
    *("ClientConnectionError", "ClientPayloadError"),
}
_REFUSED_NAMES = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("TokenRetrievalError", "UnauthorizedSSOTokenError", "DefaultCredentialsError"),
    *("RefreshError", "ClientAuthenticationError", "SSLError"),
}
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_REFUSED_STATUS = {401, 402, 403, 407}
# Arrow reports what an object store says as an OSError with a text.
_PASSING_TEXT = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT)"
    r"|HTTP status (429|5\d\d)"
    r"|\b(UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED)\b"
    r"|curlCode: (6|7|28|52|56)\b"
)
_REFUSED_TEXT = re.compile(
    r"AWS Error (ACCESS_DENIED|INVALID_(ACCESS_KEY_ID|CLIENT_TOKEN_ID|SIGNATURE)|SIGNATURE_DOES_NOT_MATCH"
    r"|MISSING_AUTHENTICATION_TOKEN|UNRECOGNIZED_CLIENT|REQUEST_EXPIRED|OPT_IN_REQUIRED)"
    # S3 says 400 of a token that has expired, and 301 of another region.
    r"|HTTP status (301|400|401|403)"
    r"|\b(PERMISSION_DENIED|UNAUTHENTICATED)\b"
)
# s3fs and gcsfs say so of each file in it.
_NO_BUCKET = re.compile(r"(?i)bucket does not exist|NoSuchBucket")


def fault_of(error: BaseException) -> Fault:
    """Return whose fault `error` is."""
    in_decoder = is_own = False
    for link in _causes(error):
        if isinstance(link, (SampleReadError, ImageReadError, TransformError)):
            in_decoder = isinstance(link, ImageReadError) or getattr(link, "is_broken", False)
            continue  # why is what counts
        if isinstance(link, _OF_PROGRAM) and not (in_decoder or is_own):
            return Fault.PROGRAM
        is_own = True  # of what the program raised, the causes are no more than a reason
        if is_transient(link):
            return Fault.PASSING
        if _is_of_place(link) and not (in_decoder and isinstance(link, MemoryError)):
            return Fault.PLACE
    return Fault.SAMPLE


def is_transient(error: BaseException) -> bool:
    """Return whether `error` may be gone the next time: a lost connection, a timeout, a busy server, a stale file handle."""
    if isinstance(error, (StorageError, PermissionError, *_LASTING)):
        return False
    if (status := _status(error)) is not None:
        return status in _PASSING_STATUS
    if isinstance(error, _PASSING) or _PASSING_NAMES & _names(error):
        return True
    if not isinstance(error, OSError):
        return False
    return error.errno in _PASSING_ERRNOS or _PASSING_TEXT.search(str(error)) is not None


def _is_of_place(error: BaseException) -> bool:
    if isinstance(error, (StorageError, PackError, MemoryError)):
        return True
    if _status(error) in _REFUSED_STATUS or _REFUSED_NAMES & _names(error):
        return True
    if isinstance(error, PermissionError):
        # Of one file of this machine it is that file's; whether its folder can be read has been looked at.
        return error.filename is None
    if isinstance(error, FileNotFoundError):
        return _NO_BUCKET.search(str(error)) is not None
    if isinstance(error, _LASTING) or not isinstance(error, OSError):
        return False
    return error.errno in _PLACE_ERRNOS or _REFUSED_TEXT.search(str(error)) is not None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _status(error: BaseException) -> int | None:
    """Return the status of HTTP that `error` reports."""
    for name in ("status", "status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return int(status)
    return None


_MOUNT = "Mount or copy the data on every host under the same path, or keep the actors off those without it"
# What to do if an error is raised on a host, and not in the program's own process; by its text, the first that fits.
_ADVICE = (
    (
        r"ImportError|ModuleNotFoundError|Can't get attribute|AttributeError: module",
        "Install that code on every host, or send it along: `ray job submit --working-dir . -- python PROGRAM`, or "
        'ray.init(address, runtime_env={"working_dir": "."}) before the pool is made',
    ),
    (
        r"KeyError: '(?P<name>[A-Z][A-Z0-9_]*)'",
        "If NAME is an environment variable: set it before Ray is started, or send it along: "
        'ray.init(runtime_env={"env_vars": {"NAME": ...}}) before the pool is made',
    ),
    (
        r"unable to lock file",
        "The file is open for writing in another process, perhaps this one: close it there, or open it for reading only",
    ),
    (
        r"DecompressionBomb|max_pixels",
        "The limit on pixels is another there: give the accessor max_pixels=, and set Pillow's Image.MAX_IMAGE_PIXELS in the "
        "actors too",
    ),
    (
        r"UnidentifiedImageError",
        "If a plug-in opens such images here, it must be installed on every host, and registered in each actor by RayActorPool(setup=...)",
    ),
    (r"PermissionError", "Give the user that the actors run as the right to read it"),
    (_REFUSED_TEXT.pattern + r"|\b40[13]\b|Credential", "Give the actors the same credentials"),
    (r"FileNotFoundError|NotADirectoryError|the folder of the samples|the folder is empty", _MOUNT),
    (
        _PASSING_TEXT.pattern + r"|Connect|gaierror|Timeout",
        "See that the host reaches the network that the data is on",
    ),
)


def advice(*errors: str) -> str:
    """Return what to do if `errors`, as `TypeError: text`, are raised on hosts and not in this process; "" if unknown."""
    found = dict.fromkeys(filter(None, map(_advice_on, errors)))
    return ". ".join(found)


def _advice_on(error: str) -> str:
    for pattern, what_to_do in _ADVICE:
        match = re.search(pattern, error)
        if match is not None:
            return what_to_do.replace("NAME", match.groupdict().get("name", "NAME"))
    return ""
