"""Limits how many batches, and how many bytes, are held or under way at the same time."""

from __future__ import annotations

from raybatch.scheduling.settings import Prefetch


class Window:
    """Counts batches and their bytes. A batch under way reserves the size of the largest so far.

    If bytes are limited and no size is known yet, the window admits only one batch. Once that is
    made, its size is known, and the window admits more.
    """

    def __init__(self, limit: Prefetch, largest_bytes: int = 0) -> None:
        self.limit = limit
        self.largest_bytes = largest_bytes
        self._sizes: dict[int, int | None] = {}
        self._made_bytes = 0
        self._under_way = 0

    @property
    def held_bytes(self) -> int:
        """The bytes of the batches that are made, and the bytes reserved for those under way."""
        return self._made_bytes + self._under_way * self.largest_bytes

    @property
    def made(self) -> int:
        """The number of batches that are made and not released."""
        return len(self._sizes) - self._under_way

    @property
    def room(self) -> int:
        """The number of batches of the largest size so far that fit the limit; at least 1."""
        if self.limit.bytes is None or not self.largest_bytes:
            return self.limit.batches
        return max(1, min(self.limit.batches, self.limit.bytes // self.largest_bytes))

    def admits_another(self) -> bool:
        """Return whether one more batch can be begun; an empty window always admits one."""
        if not self._sizes:
            return True
        if len(self._sizes) >= self.limit.batches:
            return False
        if self.limit.bytes is None:
            return True
        return self._knows_a_size and self.held_bytes + self.largest_bytes <= self.limit.bytes

    @property
    def _knows_a_size(self) -> bool:
        return self.largest_bytes > 0 or self._under_way < len(self._sizes)

    def reserve(self, key: int) -> None:
        self._sizes[key] = None
        self._under_way += 1

    def settle(self, key: int, nbytes: int) -> None:
        """Replace the reservation of a batch with its true size, which is 0 if the batch failed."""
        self._sizes[key] = nbytes
        self._under_way -= 1
        self._made_bytes += nbytes
        self.largest_bytes = max(self.largest_bytes, nbytes)

    def release(self, key: int) -> None:
        """Stop counting a batch whose size is settled."""
        self._made_bytes -= self._sizes.pop(key) or 0
