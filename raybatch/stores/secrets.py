"""Hides the credentials in URLs, for errors, logs and names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

import pyarrow as pa
import pyarrow.compute as pc

from raybatch.errors import StorageError
from raybatch.faults import Fault, fault_of

T = TypeVar("T")

# The keys of a query that tell where a store is, and hold no secret.
_OPEN_SETTINGS = r"([?&])(region|scheme|endpoint_override)=[^&]*"
# The credentials in a URL without those keys: its user, or a query that is not empty.
_CREDENTIALS = r"://([^/?]*|[^/?:]*:[^?]*)@|\?.*[^?&]"
_HIDDEN = "***"
# A secret key can contain a slash that should have been percent-encoded, so the text after the
# colon can contain one too.
_USER = re.compile(r"://(?:[^/?#\s]*|[^/?#\s:]*:(?!:)[^?\s]*)@")
_QUERY = re.compile(r"(://[^?\s'\"]*)\?[^\s'\"]*")
# In URLs of these stores, the user is an access key.
_WITH_ACCESS_KEYS = ("s3://", "s3a://", "gs://", "gcs://", "http://", "https://")
# The parts of a query that sign a request: of AWS, Google, CloudFront and Azure.
_SIGNATURE = re.compile(
    r"(x-amz-|x-goog-|awsaccesskeyid=|googleaccessid=|key-pair-id=|policy=|signature=|expires="
    r"|(sig|se|st|sp|spr|sv|sr|skoid|sktid|skt|ske|sks|skv|token|access_token)=)",
    re.IGNORECASE,
)
# The names of settings of file systems that hold credentials.
_SECRET_SETTING = re.compile(r"key|secret|token|password|credential|session|connection_string|auth")
_DEEPEST = 6
# Shorter secrets occur by chance in any text, and protect nothing.
_SHORTEST_SECRET = 4


def redacted(path: str) -> str:
    """Return `path` with the user, the password and the query hidden if it is a URL."""
    if "://" not in path:
        return path
    head, mark, _ = path.partition("?")
    head = _USER.sub(f"://{_HIDDEN}@", head)
    return f"{head}{mark}{_HIDDEN}" if mark else head


def identity(path: str) -> str:
    """Return `path` without credentials if it is a URL, to identify the file for a while.

    Its signature and password change, and its access key too. Elsewhere the user tells files apart:
    it is the container of an abfs URL, or has a folder of its own on an FTP server.
    """
    if "://" not in path:
        return path
    head, _, query = path.partition("?")
    if head.startswith(_WITH_ACCESS_KEYS):
        head = _USER.sub("://", head)
    else:
        head = _USER.sub(lambda found: f"://{found.group()[3:-1].partition(':')[0]}@", head)
    kept = [pair for pair in query.split("&") if pair and not _SIGNATURE.match(pair)]
    return "?".join([head, *["&".join(kept)] * bool(kept)])


def described(value: Any, depth: int = 0) -> Any:
    """Return the settings of a file system, such as its endpoint, without its credentials."""
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    if isinstance(value, dict):
        return {
            str(key): described(own, depth + 1)
            for key, own in sorted(value.items(), key=str)
            if not _SECRET_SETTING.search(str(key))
        }
    if isinstance(value, (list, tuple)):
        return [described(own, depth + 1) for own in value]
    if isinstance(value, type) or callable(value) or depth > _DEEPEST:
        return getattr(value, "__qualname__", type(value).__qualname__)
    try:
        made_with = value.__reduce__()[1:]
    except Exception:  # it cannot be pickled
        made_with = ()
    return [type(value).__qualname__, described(made_with, depth + 1)]


def without_secrets(text: str, path: str) -> str:
    """Return the message `text` without the credentials of `path` and of all URLs in it."""
    if "://" in path:
        text = text.replace(path, redacted(path))
        for secret in sorted(_secrets(path), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
    text = _USER.sub(f"://{_HIDDEN}@", text)
    return _QUERY.sub(rf"\1?{_HIDDEN}", text)


def hold_credentials(paths: pa.Array) -> bool:
    """Return whether one of `paths` is a URL with a user, or with secrets in its query.

    Settings such as the region or the endpoint are not secrets.
    """
    urls = paths.filter(pc.match_substring(paths, "://"))
    bare = pc.replace_substring_regex(urls, _OPEN_SETTINGS, r"\1")
    return bool(pc.any(pc.match_substring_regex(bare, _CREDENTIALS)).as_py())


def call_without_secrets(fn: Callable[[], T], path: str) -> T:
    """Return `fn()`, which reads `path`; raise its errors without credentials.

    ImportError and Python's subclasses of it and of OSError, such as FileNotFoundError, keep their
    class. Any other error becomes an OSError, or a StorageError if the place is at fault or the
    error is transient.
    """
    try:
        return fn()
    except Exception as error:
        text = without_secrets(str(error), path)
        # The nearest base class that can be made from a message alone.
        kinds = (kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        kind = next((kind for kind in kinds if issubclass(kind, (OSError, ImportError))), OSError)
        if kind is OSError and fault_of(error) in (Fault.PLACE, Fault.PASSING):
            kind = StorageError
        if type(error) is not kind:
            text = f"{type(error).__name__}: {text}"
    # Raise it outside the block, so that the caught error and its text are not attached as its
    # context.
    raise kind(text)


def _secrets(url: str) -> set[str]:
    head, mark, query = url.partition("?")
    query = re.sub(_OPEN_SETTINGS, r"\1", mark + query).removeprefix("?")
    found = [query, *(value for _, value in parse_qsl(query))]
    found += [pair.partition("=")[2] for pair in query.split("&")]
    for user in _USER.findall(head):
        found += user.removeprefix("://").removesuffix("@").split(":", 1)
    return {form for one in found for form in (one, unquote(one)) if len(form) >= _SHORTEST_SECRET}
