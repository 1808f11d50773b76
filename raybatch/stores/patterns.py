"""The files that a pattern matches, here or at a URL."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from raybatch.stores.hidden import HIDDEN, is_hidden
from raybatch.stores.location import Location
from raybatch.stores.paths import joined, path_array

_SHOWN = rf"(?!{HIDDEN})"
_ANY_FOLDERS = rf"(?:{_SHOWN}[^/]+/)*"
_MAGIC = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def image_glob(pattern: str | os.PathLike[str], *, filesystem: Any = None) -> pa.Array:
    """Return the paths of the files that `pattern` matches, sorted, as an Arrow array.

    The pattern has the syntax of `glob.glob(pattern, recursive=True)`: `*`, `?` and `[a-z]` match
    parts of a name, `**` matches any number of folders, and only a dot matches the dot at the start
    of a name. Like `find_images`, it leaves out files that systems leave behind, such as
    `__MACOSX`, unless the pattern names them. The pattern is a local path, a URL, in which `?`
    begins the query, or a path in `filesystem`, as for `ImageFileAccessor`. The search begins at
    the last folder before the first wildcard, and goes no deeper than the pattern.

    FileNotFoundError if no file matches or there is no folder to search.
    """
    whole = Location(pattern, filesystem)
    root, rest, query = _cut(whole)
    parts = (unquote(rest) if whole.is_quoted else rest).split("/")
    matches = re.compile(_regex(parts), re.DOTALL).fullmatch
    depth = None if "**" in parts else len(parts)
    hidden = any(map(is_hidden, parts))
    found = []
    folder = Location(root + query, filesystem)
    for names in folder.below(depth, hidden=hidden):
        names = [name for name in names if matches(name)]
        if names:
            found.append(path_array(folder.join(names)))
    if not found:
        raise FileNotFoundError(f"no file matches {whole!r}")
    return joined(found)


def fixed_part(pattern: str | os.PathLike[str], filesystem: Any = None) -> Location | None:
    """Return the folder in which `image_glob` searches; None if `pattern` is a plain name."""
    whole = Location(pattern, filesystem)
    if not _MAGIC.search(whole.split_query()[0]) or (filesystem is None and os.path.isdir(pattern)):
        return None
    root, _, query = _cut(whole)
    return Location(root + query, filesystem)


def _cut(pattern: Location) -> tuple[str, str, str]:
    """Return the folder where the search begins, the rest of `pattern`, and the query of a URL."""
    text, query = pattern.split_query()
    magic = _MAGIC.search(text)
    cut = text.rfind("/", 0, magic.start() if magic else None) + 1
    return text[:cut], text[cut:], query


def _regex(parts: list[str]) -> str:
    folders = [_ANY_FOLDERS if part == "**" else _name_regex(part) + "/" for part in parts[:-1]]
    last = _ANY_FOLDERS + _name_regex("*") if parts[-1] == "**" else _name_regex(parts[-1])
    return "".join(folders) + last


def _name_regex(part: str) -> str:
    regex = "" if is_hidden(part) else _SHOWN
    for token in _TOKEN.findall(part):
        if token[0] == "*":
            regex += "[^/]*"
        elif token == "?":
            regex += "[^/]"
        elif token[0] == "[" and len(token) > 2:
            inside = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
            regex += f"(?!/)[{'^' + inside[1:] if inside[0] == '!' else inside}]"
        else:
            regex += re.escape(token)
    return regex
