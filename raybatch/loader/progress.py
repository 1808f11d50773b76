"""How an epoch gets on: one line on a terminal or in a notebook, or now and then one in the log."""

from __future__ import annotations

import logging
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from raybatch.work_pool import Figures

_log = logging.getLogger(__name__)

_LINE_EVERY_S = 0.25
_LOG_EVERY_S = 30.0

# The rate is that since so many lines ago.
_RATE_OVER = 20


class ProgressLine:
    """A `Watcher` that shows the loader `name` on the standard error; where that is no terminal, logs.

    There is no thread that draws it, so nothing is drawn once the loop is left.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._screen: _Screen | None = None
        self._is_shown = sys.stderr.isatty() or _is_notebook()
        self.every_s = _LINE_EVERY_S if self._is_shown else _LOG_EVERY_S
        self._rate_over = _RATE_OVER if self._is_shown else 1

    def begin(self, epoch: int, num_batches: Callable[[], int | None], figures: Figures) -> None:
        self._epoch, self._num_batches = epoch, num_batches()
        self._began, self._began_at = figures, self._clock()
        self._latest = deque([(self._began_at, figures.images)], maxlen=self._rate_over + 1)
        if self._is_shown:
            self._screen = _Screen()
            self.show(figures)

    def show(self, figures: Figures) -> None:
        facts = self._facts(figures)
        words = _line(facts)
        if self._screen is not None:
            self._screen.draw(words)
        elif not self._is_shown:
            _log.info("%s: %s", self._name, words, extra={"loader": self._name, **facts})

    def end(self, figures: Figures) -> None:
        if self._screen is not None:
            self._screen.clear()
            self._screen = None

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


def _line(facts: dict[str, Any]) -> str:
    total = "" if facts["num_batches"] is None else f" of {facts['num_batches']}"
    return (
        f"epoch {facts['epoch']}: {facts['batches']}{total} batches, {facts['images_per_s']:.0f} images/s, "
        f"waited {facts['waited_s']:.1f} s ({facts['waiting_share']:.0%}), "
        f"{facts['made_ahead']} of {facts['window']} made ahead"
    )


class _Screen:
    """One line at the bottom of the terminal, or in a notebook's cell, above which a program may print."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()
        # At the end of a program that left its loop by an error, too, whose traceback holds the loop.
        self._clear = weakref.finalize(self, self._live.stop)

    def draw(self, words: str) -> None:
        line = self._text(words, no_wrap=True, overflow="ellipsis")
        self._live.update(line, refresh=True)

    def clear(self) -> None:
        self._clear()


def _is_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console(stderr=True).is_jupyter
