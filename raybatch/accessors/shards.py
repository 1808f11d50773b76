"""Data sets in shards (tar or zip files), with each member of a sample as an array."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raybatch.accessors.encoded import EncodedBytes, EncodedImageAccessor
from raybatch.accessors.items import ItemAccessor
from raybatch.accessors.texts import Texts
from raybatch.checks import one_of
from raybatch.notices import tell
from raybatch.ragged import RaggedArray
from raybatch.stores.braces import shard_paths
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.location import Locations
from raybatch.stores.shard_index import Lister, index_of
from raybatch.stores.shard_members import Members
from raybatch.stores.tar_headers import tar_members
from raybatch.stores.zip_directory import zip_members

# WebDataset decodes members with these extensions as ints.
_INTS = frozenset({"cls", "cls2", "class", "count", "index", "inx", "id"})
_IMAGES = "jpg;jpeg;png;webp"
_READ_AT_ONCE, _READ_AHEAD = 16, 10_000


class TarShards:
    """The samples in WebDataset's tar files, in any order, with each member as an array.

    A sample consists of the members of a shard whose names are equal up to the first dot; the rest
    of the name is the member's extension.

        shards = TarShards("train-{000..099}.tar")
        images = shards.images("jpg;png", size=(224, 224))
        source = ArrayDataSource({"image": images, "label": shards.column("cls")})

    The headers of all members are read once, on several threads, and saved as an index. For shards
    on a server, this reads most of their bytes once. Each time the index is opened, it is compared
    with the sizes and times of the shards, and changed shards are read again. In an epoch, each
    member is read by itself: at its offset in a local file, by a range request from a store.

    Args:
        shards: A path, a pattern such as `train-{000..099}.tar` or `train-*.tar`, a folder, or
            several of these. They can be URLs.
        members: The members that each sample must have, such as `("jpg;png", "cls")`.
        missing: "drop" leaves out samples that lack one of `members`, and logs their number;
            "error" raises ValueError.
        index: The file that holds the index. By default it is beside the shards if they are local.
        filesystem: As for `ImageFileAccessor`; all `shards` are then paths in it.
        cache: A `DiskCache`, which keeps members of remote shards on the disk of each host.

    Raises StorageError for a shard that is not a tar file, is cut off, damaged or compressed, has
    two members with the same name, or has members after its end; FileNotFoundError for a pattern
    that matches no file; and ValueError for samples that lack a member.
    """

    # The suffix of the shards, and the function that lists the members of a shard.
    _kind: ClassVar[tuple[str, Lister]] = (".tar", tar_members)

    def __init__(
        self,
        shards: Any,
        *,
        members: Sequence[str] = (),
        missing: str = "error",
        index: str | os.PathLike[str] | None = None,
        filesystem: Any = None,
        cache: DiskCache | None = None,
    ) -> None:
        one_of("missing", missing, ("error", "drop"))
        if isinstance(members, str) or (missing == "drop" and not members):
            raise ValueError(
                'members must list the members of each sample, as in ("jpg;png", "cls"), not'
                f" {members!r}"
            )
        suffix, members_of = self._kind
        paths = shard_paths(shards, suffix, filesystem)
        self._shards = Locations(paths, filesystem=filesystem, cache=cache)
        self._shards.check_can_open()
        found = index_of(self._shards, members_of, index)
        self._versions = [shard.version for shard in found]
        self._table = pa.Table.from_batches([shard.members for shard in found])
        # Only the row of a sample's first member has its key.
        self._sample_of = np.cumsum(pc.is_valid(self._table["key"]).to_numpy()) - 1
        self._keys = self._table["key"].drop_null().combine_chunks()
        lengths = [len(shard.members) - shard.members["key"].null_count for shard in found]
        self._starts = np.cumsum([0, *lengths], dtype=np.int64)
        if left_out := sum(shard.left_out for shard in found):
            tell(
                f"left out of {self!r}: {left_out} files that are links or sparse, or have no dot"
                " in their names"
            )
        # The numbers of the kept samples, None if all are kept.
        self._kept: npt.NDArray[np.int64] | None = None
        self._require(members, missing)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} samples in {len(self._shards)} shards,"
            f" {self._shards.name_of(0)!r}, ...)"
        )

    @property
    def keys(self) -> Texts:
        """The names of the samples: an int gives a str, an index array a list of them.

        `keys.array` is an Arrow array.
        """
        return Texts(self._keys)

    @property
    def shard_lengths(self) -> npt.NDArray[np.int64]:
        """The number of samples in each shard, int64 `(shards,)`.

        These are the blocks of a `BlockShuffleSampler`.
        """
        return np.diff(self._starts)

    @property
    def extensions(self) -> dict[str, int]:
        """The extensions of the members, each with the number of samples that have it.

        Samples that `missing="drop"` left out are counted too.
        """
        counts = pc.value_counts(self._table["extension"])
        return {count["values"]: count["counts"] for count in counts.to_pylist()}

    def images(
        self, extension: str = _IMAGES, size: tuple[int, int] | None = None, **reading: Any
    ) -> EncodedImageAccessor:
        """Return the images in the members `extension`.

        With several extensions, as in "jpg;png", each sample uses the first that it has. `size` and
        `reading` are the arguments of `EncodedImageAccessor`. ValueError if a sample has none.
        """
        return EncodedImageAccessor(self._members(extension), size, **reading)

    def bytes(self, extension: str, io_threads: int = 1) -> EncodedBytes:
        """Return an accessor of the bytes in the members `extension`.

        An int gives the bytes of one sample, an index array a list of them.
        """
        return EncodedBytes(self._members(extension), io_threads)

    def column(self, extension: str, dtype: Any = None) -> Any:
        """Return the numbers or texts in the members `extension`, in memory, `(len(self),)`.

        As in WebDataset, `cls`, `cls2`, `class`, `count`, `index`, `inx` and `id` are int64 by
        default. All other members are texts, a list of str in a batch. ValueError if a sample has
        no such member, or if a member is not a number or text of this kind.
        """
        if dtype is None and extension not in _INTS:
            return Texts(self._parsed(extension, partial(_text, extension=extension)))
        kind = np.dtype(dtype or np.int64)
        return np.array(
            self._parsed(extension, lambda data: _number(data.decode().strip(), kind)), kind
        )

    def json(self, field: str | None = None, extension: str = "json") -> Any:
        """Return `field` of the JSON in the members `extension`, in memory; None returns all of it.

        Numbers become an array `(len(self),)`, lists of numbers a `RaggedArray`, and texts a list
        of str in a batch. Everything else becomes an `ItemAccessor`. ValueError for samples that
        lack the field, and for a mixture of numbers and texts.
        """
        values = self._parsed(extension, lambda data: _field(json.loads(data), field))
        if any(isinstance(value, dict) for value in values):
            return ItemAccessor(values)
        try:
            kind = pa.array(values).type
        except pa.ArrowException as error:
            raise ValueError(f"{field!r} is not of one kind in all samples: {error}") from error
        if pa.types.is_string(kind):
            return Texts(values)
        if pa.types.is_list(kind):
            inner = kind.value_type
            while pa.types.is_list(inner):
                inner = inner.value_type
            return RaggedArray(values) if pa.types.is_primitive(inner) else ItemAccessor(values)
        return np.array(values) if pa.types.is_primitive(kind) else ItemAccessor(values)

    def _parsed(self, extension: str, parse: Callable[[Any], Any]) -> list[Any]:
        """Return the results of `parse` for each of the members `extension`."""
        members = self._members(extension)
        small = self._table["data"].take(pa.array(self._rows(extension))).to_pylist()
        values = []
        for position, data in enumerate(_completed(small, members.read)):
            try:
                values.append(parse(data))
            except (ValueError, LookupError, TypeError, OverflowError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(f"cannot read {members.name_of(position)!r}: {reason}") from error
        return values

    def _members(self, extension: str) -> Members:
        """Return the byte store of the members `extension`; ValueError if a sample has none."""
        rows = self._rows(extension)
        if len(lacking := np.flatnonzero(rows < 0)):
            message = (
                f"{len(lacking)} of {len(self)} samples have no member {extension!r}, the first is"
                f" {self._keys[lacking[0]]!s}. The members are {self.extensions}"
            )
            if len(lacking) < len(self):
                message += (
                    f". {type(self).__name__}(..., members=({extension!r},), missing='drop') leaves"
                    " these samples out"
                )
            raise ValueError(message)
        where = self._table.select(["offset", "length", "method"]).take(pa.array(rows))
        offsets, lengths = where["offset"].to_numpy(), where["length"].to_numpy()
        methods = pc.fill_null(where["method"], -1).to_numpy()
        place = (offsets, lengths, methods)
        if ";" in extension:
            of_each = self._table["extension"].take(pa.array(rows)).dictionary_encode()
        else:
            of_each = extension
        return Members(self._shards, self._versions, self._starts, place, self._keys, of_each)

    def _rows(self, extension: str) -> npt.NDArray[np.int64]:
        """Return the table row of each sample's member `extension`, -1 if there is none."""
        found = np.full(self._sample_of.max(initial=-1) + 1, -1, np.int64)
        # The first extension that a sample has wins, so it is written last.
        for one in reversed(extension.split(";")):
            rows = np.flatnonzero(pc.equal(self._table["extension"], one.lower()).to_numpy())
            found[self._sample_of[rows]] = rows
        return found if self._kept is None else found[self._kept]

    def _require(self, members: Sequence[str], missing: str) -> None:
        """Leave out the samples that lack one of `members`, or raise ValueError."""
        if missing == "error":
            for extension in members:
                self._members(extension)
            return
        has_all = np.all([self._rows(extension) >= 0 for extension in members], axis=0)
        if has_all.all():
            return
        lacking = np.flatnonzero(~has_all)
        tell(
            f"left out of {self!r}: {len(lacking)} samples that lack one of the members"
            f" {tuple(members)}; the first is {self._keys[lacking[0]]!s}"
        )
        self._kept = np.flatnonzero(has_all)
        self._keys = self._keys.take(pa.array(self._kept))
        self._starts = np.searchsorted(self._kept, self._starts)


class ZipShards(TarShards):
    """The samples in zip files, stored or deflated; all else is as in `TarShards`.

    A zip file of a folder is a data set too: `ZipShards("photos.zip").images("jpg")`. The keys of
    its samples contain the class folders. StorageError for members that are encrypted or compressed
    otherwise.
    """

    _kind = (".zip", zip_members)


def _completed(contents: list[bytes | None], read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Iterate over `contents`; threads replace each None by `read` of its position."""
    with ThreadPoolExecutor(_READ_AT_ONCE, "raybatch-column") as executor:
        for start in range(0, len(contents), _READ_AHEAD):
            run = contents[start : start + _READ_AHEAD]
            absent = [start + number for number, data in enumerate(run) if data is None]
            ahead = executor.map(read, absent)
            for data in run:
                yield next(ahead) if data is None else data


def _text(data: bytes, extension: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"it is not text: shards.images({extension!r}) decodes images,"
            f" shards.bytes({extension!r}) returns the bytes as they are stored"
        ) from None


def _field(value: Any, field: str | None) -> Any:
    found = value if field is None else value[field]
    if found is None:
        raise ValueError("it is null")
    return found


def _number(text: str, kind: np.dtype[Any]) -> Any:
    """Return the number in `text`; ValueError or OverflowError if it is not one of this `kind`."""
    if kind.kind == "b":
        named = {"0": False, "1": True, "false": False, "true": True}
        if text.lower() not in named:
            raise ValueError(f"{text!r} is neither 0, 1, true nor false")
        return named[text.lower()]
    # NumPy 1 lets integers wrap around.
    if kind.kind in "iu" and not np.iinfo(kind).min <= int(text) <= np.iinfo(kind).max:
        raise OverflowError(f"{text} does not fit into {kind}")
    return kind.type(text)
