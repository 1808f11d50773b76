"""The places of the members in a tar file, from its headers alone."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from raybatch.errors import StorageError

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)
# Records of a POSIX header that change more of a member than its times and owner.
_IMPORTANT = re.compile(rb" (?:path|size|linkpath|hdrcharset|GNU\.sparse[^=]*)=")
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
}


class Member(NamedTuple):
    """A file in an archive: its name, and the offset and length of its bytes.

    In a zip file these are the offset of its header and its compressed length.
    `method` is None for plain bytes, or zip's number of the compression method. `data` holds the
    bytes of a small file, which were read with its header.
    """

    name: str
    offset: int
    length: int
    method: int | None = None
    data: bytes | None = None


def tar_members(file: IO[bytes]) -> Iterator[Member | str]:
    """Iterate over the members of an open tar file; links and sparse files come as names only.

    Folders, devices and pipes are skipped. StorageError if the file is compressed, cut off, damaged
    or not a tar file, or if more members follow its end.
    """
    size = file.seek(0, 2)
    file.seek(0)
    refuse_compressed(file.read(_BLOCK))
    file.seek(0)
    try:
        # `tarfile` reads only the unusual headers, because it takes three times as long.
        reader = tarfile.TarFile(fileobj=file)
    except tarfile.TarError as error:
        raise StorageError(f"it is not a tar file: {error}") from error
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(_BLOCK)
        if header == _END:
            _check_ends(file, position, size)
            return
        is_sound = _is_sound(header)
        plain = _plain(header) if is_sound else None
        if is_sound and header[156:157] == b"x" and _is_unimportant(header, file):
            position += _BLOCK + _padded(_number(header[124:136]))
            continue
        info: tarfile.TarInfo | None = None
        if plain is None:
            file.seek(position)
            info = _unusual(reader, position)
            name, offset, length = info.name, info.offset_data, info.size
            following = reader.offset
        else:
            name, length = plain
            offset = position + _BLOCK
            following = offset + _padded(length)
        # A size below 0 can lead back to a header that was read before, without end.
        if length < 0 or following <= position:
            raise StorageError(_damaged(position, f"the size of {name!r} is {length}"))
        position = following
        if info is not None and (not info.isreg() or info.issparse()):
            if info.issym() or info.islnk() or info.issparse():
                yield name
            continue
        if offset + length > size:
            raise StorageError(
                f"the tar file is cut off in its member {name!r}: {size} bytes are there, but it"
                f" should end at byte {offset + length}. Copy or write it again"
            )
        file.seek(offset)
        # The index keeps small members, so a column of labels needs no second read of the shards.
        yield Member(name, offset, length, data=file.read(length) if length <= _BLOCK else None)


def _plain(header: bytes) -> tuple[str, int] | None:
    """Return the name and length of a regular file, None if its header is not self-contained."""
    # A name of 100 bytes or with a prefix, and a size that is not octal, are left to `tarfile`.
    is_plain = header[156] in b"0\0" and not header[345] and header[99] == 0 and header[124] < 0x80
    if not is_plain:
        return None
    name = header[: header.index(0)].decode("utf-8", "surrogateescape")
    # Old tar files mark a folder by a slash at the end of its name.
    return None if name.endswith("/") else (name, _number(header[124:136]))


def _is_sound(header: bytes) -> bool:
    """Return whether the checksum of a header is right, and its size is octal."""
    try:
        wanted, length = _number(header[148:156]), _number(header[124:136])
    except ValueError:
        return False
    if len(header) != _BLOCK or length < 0:
        return False
    # The checksum is the sum of all bytes, with its own field as eight spaces. The lower half of an
    # Adler-32 is 1 + the sum of all bytes, modulo 65521, and takes a tenth of the time of `sum`.
    total = wanted - 8 * 32 + sum(header[148:156])
    return zlib.adler32(header) & 0xFFFF == (1 + total) % 65521


def _is_unimportant(header: bytes, file: IO[bytes]) -> bool:
    """Return whether a sound POSIX header changes nothing of the next member that matters here."""
    return _IMPORTANT.search(file.read(_number(header[124:136]))) is None


def _unusual(reader: tarfile.TarFile, position: int) -> tarfile.TarInfo:
    """Return the member of any kind at `position`, the current offset in the file.

    `reader.offset` is then the offset of the next header.
    """
    try:
        return tarfile.TarInfo.fromtarfile(reader)
    except tarfile.TarError as error:
        raise StorageError(_damaged(position, error)) from error


def _damaged(position: int, reason: object) -> str:
    return (
        f"the tar file is damaged at byte {position}, where a header should be: {reason}. Copy or"
        " write it again"
    )


def _check_ends(file: IO[bytes], position: int, size: int) -> None:
    """Raise StorageError if members follow the zeros at `position`, which end a tar file."""
    while position < size:
        file.seek(position)
        header = file.read(_BLOCK)
        if header != _END:
            if _is_sound(header):
                raise StorageError(
                    f"the tar file ends before byte {position}, but more members follow there, as"
                    " in two tar files joined by `cat`: use each tar file by itself"
                )
            return
        position += _BLOCK


def refuse_compressed(head: bytes) -> None:
    """Raise StorageError if a file that begins with `head` is compressed."""
    for mark, (kind, cure) in _COMPRESSED.items():
        if head.startswith(mark):
            raise StorageError(
                f"it is compressed with {kind}, so no member can be read without everything before"
                f" it. Unpack it once, with `{cure}`: images take hardly more space"
            )


def _number(field: bytes) -> int:
    return int(field.strip(b" \0") or b"0", 8)


def _padded(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK
