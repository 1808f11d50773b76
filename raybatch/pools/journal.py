"""Counts and logs the retries, hedges and stuck workers of a stream."""

from __future__ import annotations

import logging
from typing import Any

from raybatch.making.request import Request
from raybatch.scheduling.messages import Command, Event, Failed, Kill, Submit, TimePassed

_log = logging.getLogger(__name__)


class Journal:
    """Counts and logs `retries` after failed attempts, and `hedges` of late ones.

    `loader` is the name of the loader that the batches belong to; None for the tasks of a work
    stream. A journal can serve several streams, one after the other.
    """

    def __init__(self, loader: str | None = None) -> None:
        self._loader = loader
        self.retries = 0
        self.hedges = 0

    def note(self, event: Event, command: Command, request: Request | None) -> None:
        """Record that `event` led to `command`; `request` is None unless that is a Submit."""
        match event, command:
            case Failed(), Submit() if command.attempt > 0:
                self.retries += 1
                # Log the text only: a log record that holds the error would keep its traceback.
                error = f"{type(event.reason.error).__name__}: {event.reason.error}"
                what = f"is made again: {error}"
                self._write(logging.WARNING, what, request, command, error=error)
            case TimePassed(), Submit() if command.attempt > 0:
                self.hedges += 1
                what = "is late, so another worker makes it too"
                self._write(logging.INFO, what, request, command)
            case _, Kill():
                extra = {"worker": command.worker}
                _log.warning("worker %d is stuck and is ended", command.worker, extra=extra)

    def _write(
        self, level: int, what: str, request: Request | None, command: Submit, **more: Any
    ) -> None:
        if not _log.isEnabledFor(level):
            return
        place: dict[str, Any] = {"key": command.key}
        if self._loader is not None and request is not None:
            place = {"loader": self._loader, "epoch": request.epoch, "batch": request.step}
        words = ", ".join(f"{name} {value}" for name, value in place.items())
        extra = {**place, "attempt": command.attempt, **more}
        _log.log(level, "%s: the batch %s", words, what, extra=extra)
