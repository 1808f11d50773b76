"""Shows the progress of an epoch: on one line of a terminal or notebook, or in the log."""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from raybatch.pools.watching import Figures

_log = logging.getLogger(__name__)

_LINE_EVERY_S = 0.25
_LOG_EVERY_S = 30.0

# The number of lines over which the rate is averaged.
_RATE_OVER = 20


class ProgressLine:
    """A `Watcher` that shows the progress of loader `name` in a terminal, a notebook or the log.

    ImportError in a notebook without ipywidgets.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._line: Any = None
        self._in_notebook = _is_notebook()
        if self._in_notebook:
            importlib.import_module(
                "raybatch.loader.notebook_line"
            )  # raises ImportError without ipywidgets
        self._is_shown = self._in_notebook or sys.stderr.isatty()
        self.every_s = _LINE_EVERY_S if self._is_shown else _LOG_EVERY_S
        self._rate_over = _RATE_OVER if self._is_shown else 1

    def begin(self, epoch: int, num_batches: Callable[[], int | None], figures: Figures) -> None:
        self._epoch, self._num_batches = epoch, num_batches()
        self._began, self._began_at = figures, self._clock()
        self._latest = deque([(self._began_at, figures.images)], maxlen=self._rate_over + 1)
        if self._is_shown:
            self._line = _new_line(in_notebook=self._in_notebook)
            self.show(figures)

    def show(self, figures: Figures) -> None:
        facts = self._facts(figures)
        words = _in_words(facts)
        if self._line is not None:
            self._line.draw(words)
        elif not self._is_shown:
            _log.info("%s: %s", self._name, words, extra={"loader": self._name, **facts})

    def end(self, figures: Figures) -> None:
        if self._line is not None:
            self._line.clear()
            self._line = None

    def _facts(self, figures: Figures) -> dict[str, Any]:
        now = self._clock()
        self._latest.append((now, figures.images))
        before, images = self._latest[0]
        elapsed_s = now - self._began_at
        waited_s = figures.waited_s - self._began.waited_s
        return {
            "epoch": self._epoch,
            "batches": figures.batches - self._began.batches,
            "num_batches": self._num_batches,
            "images_per_s": (figures.images - images) / (now - before) if now > before else 0.0,
            "waited_s": waited_s,
            "waiting_share": waited_s / elapsed_s if elapsed_s else 0.0,
            "made_ahead": figures.made_ahead,
            "window": figures.window,
        }


def _in_words(facts: dict[str, Any]) -> str:
    total = "" if facts["num_batches"] is None else f" of {facts['num_batches']}"
    return (
        f"epoch {facts['epoch']}: {facts['batches']}{total} batches, {facts['images_per_s']:.0f}"
        f" images/s, waited {facts['waited_s']:.1f} s ({facts['waiting_share']:.0%}),"
        f" {facts['made_ahead']} of {facts['window']} made ahead"
    )


def _new_line(*, in_notebook: bool) -> Any:
    """Return a line with the methods `draw(words)` and `clear()`."""
    if in_notebook:
        from raybatch.loader.notebook_line import NotebookLine

        return NotebookLine()
    from raybatch.loader.terminal_line import TerminalLine

    return TerminalLine()


def _is_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter
