"""Small members of a batch, taken out of the object store, so that who keeps one does not keep the whole batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from raybatch.ragged import RaggedArray
from raybatch.sources import batch_nbytes
from raybatch.structure import is_container, members, with_members

# An array from the store is a view of its whole batch, and keeps that there: who collects labels
# beside images would fill the store with images. So a member that is at most this part of the batch
# is copied, and one that is kept holds no more than 16 times its own size. A list counts as one
# member, since it may have an array for each sample. The copies cost little beside the 2 ms that
# Ray takes over 10 MB of images: 64 labels 4 µs, 0.6 MB of masks 25 µs.
_SHARE = 1 / 16


def with_small_members_copied(batch: Any) -> Any:
    """Return `batch` with copies in place of its small arrays, read-only as those are that stay in the store."""
    return _copied(batch, batch_nbytes(batch) * _SHARE)


def _copied(member: Any, most_bytes: float | None) -> Any:
    """Return `member`, with copies of its parts of at most `most_bytes` bytes; None: of all."""
    if is_container(member):
        parts = {key: _copied(part, most_bytes) for key, part in members(member).items()}
        return with_members(member, parts)
    if most_bytes is not None and batch_nbytes(member) > most_bytes:
        return member
    if type(member) is list:
        return [_copied(part, None) for part in member]
    if isinstance(member, RaggedArray):
        return RaggedArray.from_offsets(_copied(member.values, None), _copied(member.offsets, None))
    if not isinstance(member, np.ndarray) or member.flags.writeable or _is_private(member):
        return member
    copy = member.copy(order="K")
    copy.flags.writeable = False
    return copy


def _is_private(array: Any) -> bool:
    """Return whether `array` is a view of memory that NumPy allocated, as those of `array_lists` are."""
    return isinstance(array.base, np.ndarray) and array.base.flags.owndata
