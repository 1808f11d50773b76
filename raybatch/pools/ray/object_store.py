"""Limits how much of Ray's object store a stream of batches can fill."""

from __future__ import annotations

import logging
import weakref
from typing import Any

_log = logging.getLogger(__name__)

# The share of the smallest object store that batches may fill. Ray begins to spill objects to disk
# at 0.8.
_STORE_SHARE = 0.7
# The share is divided among at least this many streams, such as training and validation.
_MIN_STREAMS = 2


class StoreShare:
    """Divides the object store among the streams of a pool, so that Ray spills no batch to disk.

    `store_bytes` is the size of the smallest object store. `streams` holds weak references to the
    streams that use it.
    """

    def __init__(self) -> None:
        self.store_bytes = 0
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._has_warned = False

    @property
    def stream_bytes(self) -> int:
        """The number of bytes that one stream can have in the store."""
        streams = max(_MIN_STREAMS, len(self.streams))
        return int(_STORE_SHARE * self.store_bytes / streams)

    def check(self, nbytes: int) -> None:
        """Warn once if a batch of `nbytes` bytes is larger than the share of a stream."""
        if nbytes > self.stream_bytes > 0 and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "a batch of %.0f MB is larger than a stream's share of %.0f MB of the object store "
                "(%.0f MB): batches are made one at a time, and Ray may spill them to disk. Make "
                "smaller batches, or start Ray with a larger object_store_memory",
                *(size / 1e6 for size in (nbytes, self.stream_bytes, self.store_bytes)),
            )
