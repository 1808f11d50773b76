"""The places of the members in a zip file, from its directory, and the bytes of a member."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from raybatch.errors import StorageError
from raybatch.stores.tar_headers import Member

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# The header before the bytes of a member: a mark, flags, checksum, and the lengths of the name and
# of an extra field, which follow.
_HEADER = struct.Struct("<4s2xH6xI8xHH")
_MARK = b"PK\3\4"
_SIZES_FOLLOW = 0x8
# What follows the bytes of a member written as a stream: a mark and the checksum.
_AFTER = struct.Struct("<II")
# A name and an extra field are seldom longer together, so one read is usually enough.
_GUESS = 512


def zip_members(file: IO[bytes]) -> Iterator[Member | str]:
    """Iterate over the members of an open zip file, without its folders; links come as names only.

    StorageError if it is not a zip file, or if a member is encrypted or compressed other than by
    deflate.
    """
    try:
        entries = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise StorageError(f"it is not a zip file, or is cut off: {error}") from error
    for entry in entries:
        if entry.is_dir():
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):  # its bytes are a path
            yield entry.filename
            continue
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            how = "encrypted" if entry.flag_bits & _ENCRYPTED else "neither stored nor deflated"
            raise StorageError(f"its member {entry.filename!r} is {how}: write the zip file again")
        yield Member(entry.filename, entry.header_offset, entry.compress_size, entry.compress_type)


def zip_bytes(read: Callable[[int, int], bytes], offset: int, length: int, method: int) -> bytes:
    """Return the bytes of the member whose header is at `offset`.

    The member takes `length` bytes in its compressed form; `read(offset, length)` returns a part of
    the zip file. OSError if the member is damaged.
    """
    data = read(offset, _HEADER.size + _GUESS + length)
    if not data.startswith(_MARK) or len(data) < _HEADER.size:
        raise OSError("the zip file is damaged: there is no header at the place in its directory")
    _, flags, checksum, *lengths = _HEADER.unpack_from(data)
    start = _HEADER.size + sum(lengths)
    end = start + length + _AFTER.size
    if len(data) < end:
        data += read(offset + len(data), end - len(data))
    stored = data[start : start + length]
    try:
        # -15 means raw deflate data, without a zlib header.
        found = zlib.decompress(stored, -15) if method == zipfile.ZIP_DEFLATED else stored
    except zlib.error as error:
        raise OSError(f"the member of the zip file is damaged: {error}") from error
    # If the sizes follow the bytes, so does the checksum, after a mark that some programs omit.
    checksums = {checksum}
    if flags & _SIZES_FOLLOW:
        checksums = set(_AFTER.unpack(data[start + length : end].ljust(_AFTER.size, b"\0")))
    if zlib.crc32(found) not in checksums:
        raise OSError("the member of the zip file is damaged: its checksum is wrong")
    return found
