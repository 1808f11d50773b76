"""A line of text at the bottom of the terminal; the program can print above it."""

from __future__ import annotations

import sys
import weakref

from rich.console import Console
from rich.live import Live
from rich.text import Text


class TerminalLine:
    """One line on the standard error, which disappears when it is cleared or deleted.

    No thread draws it, so nothing is drawn unless `draw` is called.
    """

    def __init__(self) -> None:
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()
        # Also clears the line at the end of the program, if a traceback keeps this object alive.
        self.clear = weakref.finalize(self, self._live.stop)

    def draw(self, words: str) -> None:
        """Show as much of `words` as fits."""
        self._live.update(Text(words, no_wrap=True, overflow="ellipsis"), refresh=True)
