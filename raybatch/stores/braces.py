"""Names of shards in the notation of a shell, `train-{000..099}.tar`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from raybatch.stores.absent import check_exists
from raybatch.stores.location import Location
from raybatch.stores.paths import as_path_array, path_names
from raybatch.stores.patterns import image_glob
from raybatch.stores.url_files import is_url

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAGIC = re.compile(r"[*?\[]")


def shard_paths(given: Any, suffix: str, filesystem: Any = None) -> list[str]:
    """Return the paths of shards.

    `given` is a path, a pattern, a folder with files `*suffix`, or several of these.
    FileNotFoundError if a local path does not exist or a pattern or a folder has no files,
    ValueError if nothing is given.
    """
    is_one = isinstance(given, (str, os.PathLike))
    several = [os.fspath(given)] if is_one else path_names(as_path_array(given))
    found: list[str] = []
    for path in several:
        if filesystem is None and os.path.isfile(path):
            found.append(path)  # an existing file, even if its name looks like a pattern
            continue
        for one in expanded(path):
            if files := _files_in(one, suffix, filesystem):
                found += files
            elif _has_magic(one, filesystem):
                found += path_names(image_glob(one, filesystem=filesystem))
            else:
                if filesystem is None and not is_url(one):
                    check_exists(one)
                found.append(one)
    if not found:
        raise ValueError(f"no *{suffix} files were given: name at least one")
    return found


def _files_in(path: str, suffix: str, filesystem: Any) -> list[str]:
    """Return the files `*suffix` in the folder `path`, none if it is not a folder.

    FileNotFoundError if the folder has no such files.
    """
    folder = Location(path, filesystem)
    name = folder.split_query()[0]
    is_local = filesystem is None and not is_url(path)
    # For remote paths, the name alone decides, which saves a request.
    if (
        not os.path.isdir(path)
        if is_local
        else _has_magic(path, filesystem) or name.endswith(suffix)
    ):
        return []
    try:
        # This leaves out hidden files, which can be in the middle of a write.
        names = [one for run in folder.below(depth=1) for one in run if one.endswith(suffix)]
    except (FileNotFoundError, NotADirectoryError):
        names = []
    if not names and (is_local or name.endswith("/")):
        raise FileNotFoundError(f"no {suffix} files in {folder!r}")
    return folder.join(names)


def _has_magic(path: str, filesystem: Any) -> bool:
    return _MAGIC.search(Location(path, filesystem).split_query()[0]) is not None


def expanded(pattern: str) -> Iterator[str]:
    """Iterate over the expansions of all `{a,b}` and `{000..099}` in `pattern`, as in a shell."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    for part in _parts(match[1]):
        yield from expanded(pattern[: match.start()] + part + pattern[match.end() :])


def _parts(inside: str) -> list[str]:
    between = _RANGE.fullmatch(inside)
    if between is None:
        return inside.split(",")
    first, last = between.groups()
    if int(last) < int(first):
        raise ValueError(f"{{{inside}}} is an empty range: its first number is above its last")
    width = len(first) if first.startswith("0") else 1
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
