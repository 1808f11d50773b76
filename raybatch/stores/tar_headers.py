"""What lies where in a tar file, by its headers alone."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from raybatch.errors import StorageError

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)
# Records of a header of the POSIX kind that say more of a member than its times and its owner.
_TELLING = re.compile(rb" (?:path|size|linkpath|hdrcharset|GNU\.sparse[^=]*)=")
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd"),
}


class Member(NamedTuple):
    """A file in an archive: its name, and where its bytes begin there and how many they are.

    `method` says how they are stored: None as they are, a number as zip has it. `data` are its bytes, if they came with
    its header.
    """

    name: str
    offset: int
    length: int
    method: int | None = None
    data: bytes | None = None


def tar_members(file: IO[bytes]) -> Iterator[Member | str]:
    """Iterate over the members of an open tar file; of one that is a link or sparse, over its name.

    Folders, devices and pipes are passed over. StorageError if the file is compressed, cut off or no tar file.
    """
    size = file.seek(0, 2)
    file.seek(0)
    refuse_compressed(file.read(_BLOCK))
    file.seek(0)
    try:
        # Reads what is not plain; for all the rest it would take three times as long.
        reader = tarfile.TarFile(fileobj=file)
    except tarfile.TarError as error:
        raise StorageError(f"it is no tar file: {error}") from error
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(_BLOCK)
        if header == _END:
            return
        plain = _plain(header) if _is_sound(header) else None
        if plain is None and header[156:157] == b"x" and _says_little(header, file):
            position += _BLOCK + _padded(_number(header[124:136]))
            continue
        if plain is None:
            file.seek(position)
            info = _odd(reader, position)
            position = reader.offset
            name, offset, length = info.name, info.offset_data, info.size
            if not info.isreg() or info.issparse():
                if info.issym() or info.islnk() or info.issparse():
                    yield name
                continue
        else:
            name, length = plain
            offset = position + _BLOCK
            position = offset + _padded(length)
        if offset + length > size:
            raise StorageError(
                f"the tar file is cut off in its member {name!r}: {size} bytes are there, and that ends at byte "
                f"{offset + length}. Copy or write it again"
            )
        file.seek(offset)
        yield Member(name, offset, length, data=file.read(length) if length <= _BLOCK else None)


def _plain(header: bytes) -> tuple[str, int] | None:
    """Return the name and the length of a regular file whose header says all about it."""
    is_plain = header[156] in b"0\0" and not header[345] and header[99] == 0 and header[124] < 0x80
    if not is_plain:
        return None
    name = header[: header.index(0)].decode("utf-8", "surrogateescape")
    # Once this was how a folder was written.
    return None if name.endswith("/") else (name, _number(header[124:136]))


def _is_sound(header: bytes) -> bool:
    """Return whether the checksum of a header is right."""
    try:
        wanted = _number(header[148:156])
    except ValueError:
        return False
    # The checksum itself counts as eight spaces.
    return len(header) == _BLOCK and sum(header) - sum(header[148:156]) + 8 * 32 == wanted


def _says_little(header: bytes, file: IO[bytes]) -> bool:
    """Return whether what a header of the POSIX kind adds to the next one is of no use here."""
    return _is_sound(header) and _TELLING.search(file.read(_number(header[124:136]))) is None


def _odd(reader: tarfile.TarFile, position: int) -> tarfile.TarInfo:
    """Return the member at `position`, where the file is, of any kind; `reader.offset` is that of the next one then."""
    try:
        return tarfile.TarInfo.fromtarfile(reader)
    except tarfile.TarError as error:
        raise StorageError(
            f"the tar file is damaged at byte {position}, where a header should be: {error}. Copy or write it again"
        ) from error


def refuse_compressed(head: bytes) -> None:
    """Raise StorageError if a file that begins with `head` is compressed."""
    for mark, (kind, cure) in _COMPRESSED.items():
        if head.startswith(mark):
            raise StorageError(
                f"it is compressed with {kind}, so nothing in it can be read without all that is before it. Unpack it once, "
                f"with `{cure}`: images take hardly more room"
            )


def _number(field: bytes) -> int:
    return int(field.strip(b" \0") or b"0", 8)


def _padded(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK
