"""Messages that a user must see. They reach stderr even if the program does not configure logging.

`say` writes a message each time, `tell` only once. A worker process holds its notices. They travel
with its results to the consumer, which tells them.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

_log = logging.getLogger("raybatch")


class Notice(NamedTuple):
    """A `text` to tell; of all notices with the same `key`, only the first is told."""

    text: str
    key: str


class _OfThread(threading.local):
    name_of: Callable[[], str] | None = None


_current = _OfThread()
_told: dict[str, Notice] = {}
_held: dict[str, Notice] | None = None


def tell(text: str, key: str | None = None) -> None:
    """Tell `text` unless a notice with this key came before; a worker holds it instead.

    The key is the text by default.
    """
    key = text if key is None else key
    notice = Notice(text, key)
    if _held is not None:
        _held.setdefault(key, notice)
        return
    # Only the first of several threads gets its own notice back.
    if _told.setdefault(key, notice) is not notice:
        return
    say(_log, text)


def is_told(key: str) -> bool:
    """Return whether `tell` would do nothing for a notice with this key."""
    return key in (_told if _held is None else _held)


class about:  # noqa: N801 - it is used like a function
    """Set the name that `subject` returns in the block: `name_of()`, such as the path of a file."""

    __slots__ = ("_name_of", "_outer")

    def __init__(self, name_of: Callable[[], str]) -> None:
        self._name_of = name_of

    def __enter__(self) -> None:
        self._outer = _current.name_of
        _current.name_of = self._name_of

    def __exit__(self, *exception: object) -> None:
        _current.name_of = self._outer


def subject() -> str:
    """Return the name that the innermost `about` block of this thread gives, or ""."""
    return "" if _current.name_of is None else _current.name_of()


def hold() -> None:
    """Make this process hold its notices from now on, until `taken` fetches them."""
    global _held
    _held = {}


def taken() -> tuple[Notice, ...]:
    """Return the notices held so far, and forget them."""
    global _held
    taken, _held = _held, {}
    return tuple((taken or {}).values())


def say(log: logging.Logger, words: str, **facts: Any) -> None:
    """Log `words` as a warning with the fields `facts`.

    Write it to the standard error if the log does not.
    """
    log.warning(words, extra=facts, stacklevel=2)
    if sys.stderr is not None and not _is_on_stderr(log):
        sys.stderr.write(f"raybatch: {words}\n")


def _is_on_stderr(log: logging.Logger) -> bool:
    """Return whether a handler of `log` writes warnings to the standard error."""
    logger: logging.Logger | None = log if log.isEnabledFor(logging.WARNING) else None
    while logger is not None:
        for handler in logger.handlers:
            console = getattr(handler, "console", None)  # rich's handler has one
            stream = getattr(handler, "stream", getattr(console, "file", None))
            if stream in (sys.stderr, sys.__stderr__) and handler.level <= logging.WARNING:
                return True
        logger = logger.parent if logger.propagate else None
    return False
