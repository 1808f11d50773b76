"""Checks that a path is local, for everything that is written or mapped into memory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from raybatch.stores.secrets import redacted

# `Path` collapses `//` to one slash. A scheme of one letter is a Windows drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return `path`, which can be a `file:` URL, as a local path; ValueError for any other URL.

    Without the check, a URL would become a folder named `s3:`.
    """
    text = os.fspath(path)
    if text.startswith("file:/"):
        return Path(unquote(re.sub(r"\Afile:(//(localhost)?(?=/))?", "", text)))
    if _URL.match(text):
        raise ValueError(
            f"{redacted(text)!r} is a URL, but this must be a path on a disk of this machine: give"
            " one, and copy the files from or to the URL, as with `aws s3 cp --recursive`"
        )
    return Path(text)
