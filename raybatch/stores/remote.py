"""Files on other machines: what fails in passing is tried again, and no error shows credentials."""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from raybatch.stores.hidden import is_hidden
from raybatch.stores.secrets import call_without_secrets

T = TypeVar("T")

_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_PASSING = (ConnectionError, TimeoutError)
# asyncio and concurrent.futures have timeouts of their own before Python 3.11; aiohttp is not imported here.
_PASSING_NAMES = {"TimeoutError", "ClientConnectionError", "ClientPayloadError"}
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
# Arrow reports what an object store says as an OSError with a text.
_PASSING_TEXT = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT)"
    r"|HTTP status (429|5\d\d)"
    r"|\b(UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED)\b"
    r"|curlCode: (7|28|52|56)\b"
)


def is_transient(error: BaseException) -> bool:
    """Return whether `error` may be gone the next time: a lost connection, a timeout, a busy server."""
    if isinstance(error, _LASTING):
        return False
    if isinstance(error, _PASSING) or _PASSING_NAMES & {
        kind.__name__ for kind in type(error).__mro__
    }:
        return True
    if getattr(error, "status", None) in _PASSING_STATUS:
        return True
    return isinstance(error, OSError) and _PASSING_TEXT.search(str(error)) is not None


@dataclass(frozen=True)
class Retries:
    """At most `attempts` attempts, with waits of about `first_s` seconds, then twice that, and so on."""

    attempts: int = 4
    first_s: float = 0.2
    sleep: Callable[[float], None] = time.sleep

    def call(self, fn: Callable[[str], T], path: str) -> T:
        """Return `fn(path)`; what it raises is raised at once unless it is transient."""
        for attempt in range(self.attempts - 1):
            try:
                return fn(path)
            except Exception as error:
                if not is_transient(error):
                    raise
            # Readers that a busy server refused together should not come back together. The random
            # numbers are the system's: those of the program stay as they are.
            self.sleep(self.first_s * 2**attempt * random.SystemRandom().uniform(0.5, 1))
        return fn(path)


class RemoteFiles:
    """The files of a file system on other machines; a subclass implements `_read`, `_names` and `_folders`."""

    def __init__(self, filesystem: Any, retries: Retries | None = None) -> None:
        self.filesystem = filesystem
        self._retries = retries or Retries()

    def open(self, path: str) -> IO[bytes]:
        """Return all of the file in memory; OSError if it cannot be read, after some retries."""
        return io.BytesIO(self._call(self._read, path))

    def signature(self, path: str) -> tuple[int, ...]:
        """Return (): to ask a store costs about as much as to read the file."""
        return ()

    def below(
        self, root: str, depth: int | None = None, *, hidden: bool = False
    ) -> Iterator[list[str]]:
        """Iterate over runs of the names of all files below `root`, as `LocalFiles.below` does."""
        names = self._call(lambda one: self._names(one, depth), root)
        yield sorted(name for name in names if hidden or not is_hidden(name))

    def folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`, as `LocalFiles.folders` does."""
        return sorted(name for name in self._call(self._folders, root) if not is_hidden(name))

    def join(self, root: str, names: list[str]) -> list[str]:
        """Return the paths of `names` below `root`."""
        prefix = root.rstrip("/") + "/" if root else ""
        return [prefix + name for name in names]

    def _call(self, fn: Callable[[str], T], path: str) -> T:
        return call_without_secrets(lambda: self._retries.call(fn, path), path)

    def _read(self, path: str) -> bytes:
        """Return all of a file."""
        raise NotImplementedError

    def _names(self, root: str, depth: int | None) -> list[str]:
        """Return the names of all files below `root`, relative to it."""
        raise NotImplementedError

    def _folders(self, root: str) -> list[str]:
        """Return the names of the folders in `root`."""
        raise NotImplementedError
