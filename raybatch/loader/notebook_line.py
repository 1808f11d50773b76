"""A line of text in the output of a notebook's cell."""

from __future__ import annotations

import weakref

try:
    from IPython.display import display
    from ipywidgets import Label
except ImportError as error:
    raise ImportError(
        "progress in a notebook needs ipywidgets: pip install 'raybatch[notebook]'"
    ) from error


class NotebookLine:
    """A widget with one line, which disappears when it is cleared or deleted."""

    def __init__(self) -> None:
        self._label = Label()
        display(self._label)
        self.clear = weakref.finalize(self, self._label.close)

    def draw(self, words: str) -> None:
        """Show `words`."""
        self._label.value = words
