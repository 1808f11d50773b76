"""A line of text at the bottom of the terminal, above which a program may print."""

from __future__ import annotations

import sys
import weakref

from rich.console import Console
from rich.live import Live
from rich.text import Text


class TerminalLine:
    """One line on the standard error, which is gone when it is cleared or let go of.

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
        # At the end of the program too: the traceback of an error holds the loop that it left.
        self.clear = weakref.finalize(self, self._live.stop)

    def draw(self, words: str) -> None:
        """Show `words`, as many as fit."""
        self._live.update(Text(words, no_wrap=True, overflow="ellipsis"), refresh=True)
