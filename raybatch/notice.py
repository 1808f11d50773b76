"""One line on the standard error that cannot be missed, whether or not the program configures logging."""

from __future__ import annotations

import logging
import sys
from typing import Any


def tell(log: logging.Logger, words: str, **facts: Any) -> None:
    """Log `words` as a warning with `facts` as its fields, and write them to the standard error unless the log is there."""
    log.warning(words, extra=facts, stacklevel=2)
    if sys.stderr is not None and not _is_on_stderr(log):
        sys.stderr.write(f"raybatch: {words}\n")


def _is_on_stderr(log: logging.Logger) -> bool:
    """Return whether a handler of `log` writes warnings to the standard error."""
    logger: logging.Logger | None = log if log.isEnabledFor(logging.WARNING) else None
    while logger is not None:
        for handler in logger.handlers:
            console = getattr(handler, "console", None)  # of rich
            stream = getattr(handler, "stream", getattr(console, "file", None))
            if stream in (sys.stderr, sys.__stderr__) and handler.level <= logging.WARNING:
                return True
        logger = logger.parent if logger.propagate else None
    return False
