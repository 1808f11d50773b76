"""How much of Ray's object store a stream of batches may fill."""

from __future__ import annotations

import logging
import weakref
from typing import Any

_log = logging.getLogger(__name__)

# The part of the smallest object store that batches may fill: Ray begins to write to disk at 0.8.
_STORE_SHARE = 0.7
# It is for so many streams at least, such as those of training and validation.
_MIN_STREAMS = 2


class StoreShare:
    """The share of each stream of a pool, so that Ray writes no batch to disk.

    `store_bytes` is the size of the smallest object store; the `streams` are those that use it, for
    as long as they exist.
    """

    def __init__(self) -> None:
        self.store_bytes = 0
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._has_warned = False

    @property
    def stream_bytes(self) -> int:
        """How many bytes of batches one stream may have in the store."""
        streams = max(_MIN_STREAMS, len(self.streams))
        return int(_STORE_SHARE * self.store_bytes / streams)

    def check(self, nbytes: int) -> None:
        """Say so, once, if a batch of `nbytes` bytes is more than a stream may have."""
        if nbytes > self.stream_bytes > 0 and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "a batch of %.0f MB is larger than the %.0f MB that a stream may have of the object store "
                "(%.0f MB): batches are made one at a time, and Ray may write them to disk. Make smaller "
                "batches, or start Ray with a larger object_store_memory",
                *(size / 1e6 for size in (nbytes, self.stream_bytes, self.store_bytes)),
            )
