"""Names that every listing leaves out: files that systems and programs leave beside the user's."""

from __future__ import annotations

import re

# Shells hide names that begin with a dot: .ipynb_checkpoints, ._x.jpg. The other names come from
# macOS, Synology, Linux and Windows.
HIDDEN = r"(?:\.|(?:__MACOSX|@eaDir|lost\+found|\$RECYCLE\.BIN|System Volume Information)(?:/|\Z))"
_ANYWHERE = re.compile(rf"(?:\A|/){HIDDEN}")


def is_hidden(name: str) -> bool:
    """Return whether the relative path `name` is hidden or lies in a hidden folder."""
    return _ANYWHERE.search(name) is not None
