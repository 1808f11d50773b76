"""A folder of Parquet files with images in a column, as a source that is shuffled by row groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raybatch.accessors import ParquetImageAccessor
from raybatch.cli.options import CannotRunError
from raybatch.image.augment.presets import PRESETS
from raybatch.order import BlockShuffleSampler, ShuffleQuality
from raybatch.sources import ArrayDataSource


def is_parquet_folder(root: str) -> bool:
    """Return whether `root` is a folder of this machine with Parquet files in it."""
    return any(Path(root).glob("*.parquet"))


def parquet_source(
    root: str,
    size: tuple[int, int],
    row_groups: int,
    exclude: Any = None,
    transform: str | None = None,
    io_threads: int = 1,
    **reading: Any,
) -> ArrayDataSource:
    """Return a source of the images in the files in `root`, of which `row_groups` groups are mixed at a time.

    `io_threads` row groups of a batch are read at a time.
    """
    options = {"size": size} if transform is None else {"transform": PRESETS[transform](size)}
    try:
        images = ParquetImageAccessor(root, io_threads=io_threads, **options, **reading)
        sampler = BlockShuffleSampler(images.row_group_lengths, row_groups)
        return ArrayDataSource([images], sampler=sampler, exclude=exclude)
    except (TypeError, ValueError) as error:
        raise CannotRunError(str(error)) from error


def mean_row_bytes(root: str, source: ArrayDataSource) -> float:
    """Return how many bytes of the files in `root` there are for each image of `source`."""
    nbytes = sum(file.stat().st_size for file in Path(root).glob("*.parquet"))
    return nbytes / len(source.data[0])


def mixing(source: ArrayDataSource) -> tuple[ShuffleQuality, str]:
    """Return how well `source` is shuffled, and the same in words."""
    sampler: Any = source.sampler
    quality, count = sampler.quality(), len(sampler.block_lengths)
    return quality, (
        f"The samples are shuffled by row groups, {min(sampler.window, count)} of {count} at a time: {quality.same_block:.1%} of them "
        f"follow one of their own group, in a full shuffle {quality.same_block_if_full:.1%}, and those of a group come "
        f"{quality.spread:.1%} as far apart as in a full one."
    )
