"""Which part of a global batch is whose."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from raybatch.checks import positive_int


@dataclass(frozen=True)
class RankSplit:
    """Rank `rank` of `world_size` consumers that share out each epoch, from 0.

    A global batch holds `batch_size × world_size` samples; rank r takes the r-th run of it. One that is short
    is shared out as evenly as can be, the lower ranks first.
    """

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        positive_int("RankSplit.world_size", self.world_size)
        if not 0 <= operator.index(self.rank) < self.world_size:
            raise ValueError(
                f"RankSplit.rank must be from 0 to world_size - 1 = {self.world_size - 1}, not {self.rank}"
            )

    def share(self, length: int) -> tuple[int, int]:
        """Return where this rank's part of a global batch of `length` samples starts and stops."""
        base, extra = divmod(length, self.world_size)
        start = self.rank * base + min(self.rank, extra)
        return start, start + base + (self.rank < extra)

    def gives_batch(self, length: int, full_length: int, last_batch: str | None) -> bool:
        """Return whether a global batch of `length` samples, of `full_length` at most, gives this rank one.

        ValueError if it gives some ranks one and others none, and `last_batch` is None: nobody said what to do then.
        """
        if last_batch is None and 0 < length < self.world_size:
            raise ValueError(
                f"a global batch has {length} of {full_length} samples, too few for {self.world_size} ranks, so some "
                "would get a batch more than others: training in step would wait for ever, or pair batches of two "
                'epochs. Say what to do with short batches: last_batch="pad" fills them up on every rank, and marks the '
                'samples that count in an array `valid`; "drop" leaves them out; "keep" lets ranks differ'
            )
        if last_batch == "drop":
            return length == full_length
        start, stop = self.share(length)
        return start < stop or last_batch == "pad"
