"""The index of the members in the shards of a data set: read from their headers once, and saved."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import pyarrow as pa

from raybatch.errors import StorageError
from raybatch.notices import tell
from raybatch.stores.hidden import is_hidden
from raybatch.stores.local_files import FileVersion
from raybatch.stores.local_path import local_path
from raybatch.stores.location import Location, Locations
from raybatch.stores.roots import common_folder
from raybatch.stores.secrets import redacted
from raybatch.stores.tar_headers import Member
from raybatch.stores.url_files import is_url
from raybatch.stores.written import in_store, written

# Lists an open archive: its members, and the names of members that cannot be read.
Lister: TypeAlias = Callable[[IO[bytes]], Iterator["Member | str"]]

# Where an index is saved: a local path, a URL of a store, or nowhere.
Target: TypeAlias = "Path | str | None"

# The index has one row per member. The members of a sample follow each other, and the first has the
# key.
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("extension", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("method", pa.int8()),
        ("data", pa.binary()),
    ]
)
_ABOUT = b"raybatch.shards"
_FORMAT = 1
_AT_ONCE = 16
# As in WebDataset: the key is the path up to the first dot of the file name.
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
# Names that WebDataset reserves.
_META = re.compile(r"__[^/]*__(?:\Z|/)")


class Shard(NamedTuple):
    """A shard: its name in the index, version, number of files left out, and members."""

    name: str
    version: FileVersion
    left_out: int
    members: pa.RecordBatch


def index_of(
    shards: Locations, members_of: Lister, path: str | os.PathLike[str] | None
) -> list[Shard]:
    """Return the shards from the index at `path`; add those that are missing or have changed.

    By default the index lies beside local shards. If it cannot be written, a log line says so.
    StorageError for a shard that cannot be listed.
    """
    target: Target = None
    if path is None:
        target = _default_path(shards)
    else:
        target = os.fspath(path) if in_store(path) else local_path(path).absolute()
    names = [_name_in(target, shards[number]) for number in range(len(shards))]
    saved = {} if target is None else _saved(target)

    def listed(number: int) -> Shard:
        known, version = saved.get(names[number]), shards.version(number)
        if known is not None and known.version == version:
            return known
        try:
            with shards.open_to_seek(number, version) as file:
                found = _listed(members_of(file))
        except StorageError as error:
            raise StorageError(f"cannot list {shards.name_of(number)!r}: {error}") from None
        return Shard(names[number], version, *found)

    with ThreadPoolExecutor(_AT_ONCE, "raybatch-index") as executor:
        found = list(executor.map(listed, range(len(shards))))
    if any(saved.get(shard.name) is not shard for shard in found):
        _save(found, target)
    return found


def _default_path(shards: Locations) -> Path | None:
    folder = common_folder(shards.array, os.getcwd()) if shards.are_local else ""
    if not folder:
        return None
    names = "\0".join(os.path.relpath(shards[number], folder) for number in range(len(shards)))
    digest = hashlib.sha256(os.fsencode(names)).hexdigest()[:16]
    return Path(folder, f".raybatch-{digest}.arrow")


def _name_in(target: Target, path: str) -> str:
    """Return the name of a shard in the index at `target`, without credentials.

    A local name is relative to the index, so shards and index can be moved together.
    """
    if not isinstance(target, Path) or is_url(path):
        return redacted(path)
    return os.fsencode(os.path.relpath(path, target.parent)).decode("utf-8", "backslashreplace")


def _saved(target: Path | str) -> dict[str, Shard]:
    try:
        with _opened(target) as source:
            file = pa.ipc.open_file(source)
            about = json.loads(file.schema.metadata[_ABOUT])
            if about["format"] != _FORMAT:
                return {}
            shards = [
                Shard(name, FileVersion(size, stamp), left_out, file.get_batch(number))
                for number, (name, size, stamp, left_out) in enumerate(about["shards"])
            ]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return {}  # no valid index: make a new one
    return {shard.name: shard for shard in shards}


def _opened(target: Path | str) -> Any:
    if isinstance(target, Path):
        return pa.memory_map(os.fsencode(target))
    with Location(target).open() as file:
        return pa.BufferReader(file.read())


def _save(shards: list[Shard], target: Target) -> None:
    if target is None:
        tell(
            f"the index of {len(shards)} shards, made from their headers, is not saved: give"
            " index=, a path or a URL, to save it for the next time"
        )
        return
    about = [(shard.name, *shard.version, shard.left_out) for shard in shards]
    metadata = {_ABOUT: json.dumps({"format": _FORMAT, "shards": about})}
    try:
        with written(target) as aside, pa.OSFile(os.fsencode(aside), "wb") as sink:
            with pa.ipc.new_file(sink, _SCHEMA.with_metadata(metadata)) as writer:
                for shard in shards:
                    writer.write_batch(shard.members)
    except OSError as error:
        tell(
            f"the index of {len(shards)} shards cannot be saved ({error}): give a different index="
        )


def _listed(members: Iterable[Member | str]) -> tuple[int, pa.RecordBatch]:
    """Return the number of files left out, and the table of the members, sample by sample."""
    samples: dict[str, dict[str, Member]] = {}
    left_out = 0
    for member in members:
        name = member if isinstance(member, str) else member.name
        if is_hidden(name.removeprefix("./")) or _META.match(name):
            continue
        parts = _NAME.fullmatch(name)
        if parts is None or isinstance(member, str):
            left_out += 1
            continue
        key, extension = (
            part.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            for part in parts.groups()
        )
        own = samples.setdefault(key, {})
        if extension.lower() in own:
            raise StorageError(f"two members are called {key}.{extension.lower()}")
        own[extension.lower()] = member
    rows = [
        (key if first else None, extension, *member[1:])
        for key, own in samples.items()
        for first, (extension, member) in zip(
            [True, *[False] * len(own)], own.items(), strict=False
        )
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(_SCHEMA)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _SCHEMA.types, strict=True)]
    return left_out, pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
