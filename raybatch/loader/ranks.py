"""Divides global batches among ranks."""

from __future__ import annotations

from dataclasses import dataclass

from raybatch.checks import integer, positive_int


@dataclass(frozen=True)
class RankSplit:
    """Rank `rank` (from 0) of `world_size` consumers that share each epoch.

    A global batch holds `batch_size × world_size` samples, and rank r takes the r-th part of it. A
    short global batch is divided as evenly as possible; the lower ranks get one sample more.
    """

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        positive_int("RankSplit.world_size", self.world_size)
        if not 0 <= integer("RankSplit.rank", self.rank) < self.world_size:
            raise ValueError(
                f"RankSplit.rank must be from 0 to world_size - 1 = {self.world_size - 1}, not"
                f" {self.rank}"
            )

    def share(self, length: int) -> tuple[int, int]:
        """Return the start and stop of this rank's part of a global batch of `length` samples."""
        base, extra = divmod(length, self.world_size)
        start = self.rank * base + min(self.rank, extra)
        return start, start + base + (self.rank < extra)

    def gives_batch(self, length: int, full_length: int, last_batch: str | None) -> bool:
        """Return whether this rank gets a batch from a global batch of `length` samples.

        A full global batch has `full_length` samples. ValueError if only some ranks would get a
        batch and `last_batch` is None.
        """
        if last_batch is None and 0 < length < self.world_size:
            raise ValueError(
                f"a global batch has {length} of {full_length} samples, too few for"
                f" {self.world_size} ranks, so some would get one batch more than others."
                " Synchronous training would then hang, or combine batches of two epochs. Set"
                ' last_batch: "pad" fills short batches up on every rank, and marks the real'
                ' samples in an array `valid`; "drop" leaves short batches out; "keep" lets the'
                " numbers differ"
            )
        if last_batch == "drop":
            return length == full_length
        start, stop = self.share(length)
        return start < stop or last_batch == "pad"
