"""Names that no list of files has: what systems and programs leave beside the files of a user."""

from __future__ import annotations

import re

# A dot begins what shells hide: .ipynb_checkpoints, ._x.jpg. The others are of macOS, Synology, Linux and Windows.
HIDDEN = r"(?:\.|(?:__MACOSX|@eaDir|lost\+found|\$RECYCLE\.BIN|System Volume Information)(?:/|\Z))"
_ANYWHERE = re.compile(rf"(?:\A|/){HIDDEN}")


def is_hidden(name: str) -> bool:
    """Return whether `name`, of a file or a folder below another, is hidden, or lies in a folder that is."""
    return _ANYWHERE.search(name) is not None
