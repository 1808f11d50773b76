"""What a stream does beside making each batch once: counted, and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from raybatch.pools.session import Failure
from raybatch.scheduling import Command, Event, Failed, Kill, Submit, TimePassed

_log = logging.getLogger(__name__)


class Journal:
    """Counts `retries` (attempts in place of failed ones) and `hedges` (attempts beside late ones), and logs them.

    `place(item)` says which batch an item is, as fields for the log. It may serve several streams, one after the
    other.
    """

    def __init__(self, place: Callable[[Any], dict[str, Any]] = lambda item: {}) -> None:
        self._place = place
        self.retries = 0
        self.hedges = 0

    def note(self, event: Event, command: Command, item: Any) -> None:
        """Enter that `event` led to `command`, which is about `item`, None if it is about none."""
        match event, command:
            case Failed(), Submit() if command.attempt > 0:
                self.retries += 1
                reason = _text(event.reason)
                what = f"is made again: {reason}"
                self._write(logging.WARNING, what, item, command, error=reason)
            case TimePassed(), Submit() if command.attempt > 0:
                self.hedges += 1
                self._write(
                    logging.INFO, "is late, and is made by another worker too", item, command
                )
            case _, Kill():
                extra = {"worker": command.worker}
                _log.warning("worker %d is stuck, and is ended", command.worker, extra=extra)

    def _write(self, level: int, what: str, item: Any, command: Submit, **more: Any) -> None:
        if _log.isEnabledFor(level):
            place = self._place(item) or {"key": command.key}
            words = ", ".join(f"{name} {value}" for name, value in place.items())
            extra = {**place, "attempt": command.attempt, **more}
            _log.log(level, "%s: the batch %s", words, what, extra=extra)


def _text(reason: Any) -> str:
    # Text, since the traceback of an error would be kept by the log.
    error = reason.error if isinstance(reason, Failure) else reason
    return f"{type(error).__name__}: {error}"
