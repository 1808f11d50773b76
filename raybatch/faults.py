"""Whose fault an error is: the sample's, the program's or the storage's; and if a retry can help.

Retries, bad samples and the advice in messages all follow this file.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from enum import Enum, auto

from raybatch.errors import ImageReadError, PackError, SampleReadError, StorageError, TransformError


class Fault(Enum):
    """Whose fault an error is."""

    SAMPLE = auto()  # this sample cannot be read, on any host
    PROGRAM = auto()  # the program's own code is wrong
    PLACE = auto()  # credentials, a folder, a host or a disk: other samples fail too
    PASSING = auto()  # a fault of the place that a retry may get past


# Python raises these where code is wrong. A decoder raises them for broken files too: then they are
# the sample's fault.
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
    "EIO ESTALE EREMOTEIO EAGAIN EBUSY ENOLCK ENETDOWN ENETUNREACH ENETRESET EHOSTDOWN EHOSTUNREACH"
    " ETIMEDOUT ENOTCONN EMFILE ENFILE ENOBUFS ENOMEM"
)
_PLACE_ERRNOS = _errnos(
    "ENODEV ENXIO ENOMEDIUM EROFS ENOSPC EDQUOT ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED"
)
# Errors of libraries that are not imported here are known by name. Before Python 3.11 the timeouts
# of asyncio and concurrent.futures were not `TimeoutError` either.
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
# Arrow reports the errors of object stores as an OSError with a text.
_PASSING_TEXT = re.compile(
    r"AWS Error"
    r" (NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE"
    r"|INTERNAL_FAILURE|REQUEST_TIMEOUT)"
    r"|HTTP status (429|5\d\d)"
    r"|\b(UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED)\b"
    r"|curlCode: (6|7|28|52|56)\b"
)
_REFUSED_TEXT = re.compile(
    r"AWS Error"
    r" (ACCESS_DENIED|INVALID_(ACCESS_KEY_ID|CLIENT_TOKEN_ID|SIGNATURE)|SIGNATURE_DOES_NOT_MATCH"
    r"|MISSING_AUTHENTICATION_TOKEN|UNRECOGNIZED_CLIENT|REQUEST_EXPIRED|OPT_IN_REQUIRED)"
    # S3 answers 400 to an expired token, and 301 to a request for another region.
    r"|HTTP status (301|400|401|403)"
    r"|\b(PERMISSION_DENIED|UNAUTHENTICATED)\b"
)
# s3fs and gcsfs say this for each file in a missing bucket.
_NO_BUCKET = re.compile(r"(?i)bucket does not exist|NoSuchBucket")


def fault_of(error: BaseException) -> Fault:
    """Return whose fault `error` is."""
    in_decoder = is_own = False
    for link in _causes(error):
        if isinstance(link, (SampleReadError, ImageReadError, TransformError)):
            in_decoder = isinstance(link, ImageReadError) or getattr(link, "is_broken", False)
            continue  # its cause decides
        if isinstance(link, _OF_PROGRAM) and not (in_decoder or is_own):
            return Fault.PROGRAM
        is_own = True  # raised on purpose, so an error that caused it is no mistake in the code
        if is_transient(link):
            return Fault.PASSING
        if _is_of_place(link) and not (in_decoder and isinstance(link, MemoryError)):
            return Fault.PLACE
    return Fault.SAMPLE


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may succeed.

    Such errors are lost connections, timeouts, busy servers, stale file handles, I/O errors, and a
    lack of memory or of file descriptors.
    """
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
        # A PermissionError with a file name is the fault of that file: `stores/roots.py` has
        # checked the folder.
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
    """Return the HTTP status that `error` reports, or None."""
    for name in ("status", "status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return int(status)
    return None


_MOUNT = (
    "Mount or copy the data on every host under the same path, or keep actors off the hosts"
    " without it"
)
# What to do about an error that a host raises and the program's own process does not. The first
# pattern that matches the error's text decides.
_ADVICE = (
    (
        r"ImportError|ModuleNotFoundError|Can't get attribute|AttributeError: module",
        (
            "Install that code on every host, or send it along: `ray job submit --working-dir . --"
            ' python PROGRAM`, or ray.init(address, runtime_env={"working_dir": "."}) before the'
            " pool is made"
        ),
    ),
    (
        r"KeyError: '(?P<name>[A-Z][A-Z0-9_]*)'",
        (
            "If NAME is an environment variable: set it before Ray is started, or send it along: "
            'ray.init(runtime_env={"env_vars": {"NAME": ...}}) before the pool is made'
        ),
    ),
    (
        r"unable to lock file",
        (
            "The file is open for writing in a process, perhaps in the program: close it there, or"
            " open it for reading only"
        ),
    ),
    (
        r"DecompressionBomb|max_pixels",
        (
            "The pixel limit differs there: give the accessor max_pixels=, and set Pillow's "
            "Image.MAX_IMAGE_PIXELS in the actors too"
        ),
    ),
    (
        r"UnidentifiedImageError",
        (
            "If a plug-in opens such images here, install it on every host, and register it in each"
            " actor with RayActorPool(setup=...)"
        ),
    ),
    (r"PermissionError", "Give the user of the actors permission to read it"),
    (_REFUSED_TEXT.pattern + r"|\b40[13]\b|Credential", "Give the actors the same credentials"),
    (r"FileNotFoundError|NotADirectoryError|the folder of the samples|the folder is empty", _MOUNT),
    (
        _PASSING_TEXT.pattern + r"|Connect|gaierror|Timeout",
        "Check that the host reaches the network of the data",
    ),
)


def advice(*errors: str) -> str:
    """Return what to do about `errors`, texts such as "TypeError: ..." that only other hosts raise.

    Return "" if nothing is known.
    """
    found = dict.fromkeys(filter(None, map(_advice_on, errors)))
    return ". ".join(found)


def _advice_on(error: str) -> str:
    for pattern, what_to_do in _ADVICE:
        match = re.search(pattern, error)
        if match is not None:
            return what_to_do.replace("NAME", match.groupdict().get("name", "NAME"))
    return ""
