"""What must lie on a disk of this machine: all that is written, and what is mapped into memory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from raybatch.stores.secrets import redacted

# `Path` makes one slash of two. One letter is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return `path`, also of a `file:` URL, as one of this machine; ValueError for any other URL.

    As a path it would be a folder that is called `s3:`.
    """
    text = os.fspath(path)
    if text.startswith("file:/"):
        return Path(unquote(re.sub(r"\Afile:(//(localhost)?(?=/))?", "", text)))
    if _URL.match(text):
        raise ValueError(
            f"{redacted(text)!r} is a URL, and this must be a path on a disk of this machine: give one, and copy the files "
            "from there or to there, as with `aws s3 cp --recursive`"
        )
    return Path(text)
