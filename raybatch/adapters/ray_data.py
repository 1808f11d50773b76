"""Turns loaders into Ray data sets, and Ray data sets into sources."""

from __future__ import annotations

from typing import Any

import numpy as np

from raybatch.accessors.reading import sample_positions
from raybatch.batchup.data_source import ArrayDataSource
from raybatch.loader.loader import Loader
from raybatch.ragged import RaggedArray
from raybatch.structure import members

try:
    import ray.data
    from ray.data.block import BlockAccessor
except ImportError as error:
    raise ImportError(
        f"raybatch.adapters.ray_data needs Ray Data: pip install 'raybatch[data]' ({error})"
    ) from error


def to_ray_data(loader: Loader, names: list[str] | None = None) -> Any:
    """Return the current epoch of `loader`, from its first batch, as a `ray.data.Dataset`.

    `names` are the columns if batches are tuples; dicts have names already. Each batch is a block.
    A task of Ray Data, not the loader's pool, makes it when it is needed. Ray Data keeps the order
    if `DataContext.get_current().execution_options.preserve_order` is set. ValueError for a loader
    that is one rank of several. Tasks raise ValueError unless there is one name for each array,
    and for a batch without any sample that can be read.
    """
    count = len(loader)
    make = _MakeBatch(loader.serial(), names, count)
    return ray.data.range(count, override_num_blocks=count).map_batches(make.block, batch_size=1)


class _MakeBatch:
    def __init__(self, loader: Loader, names: list[str] | None, count: int) -> None:
        self._loader = loader
        self._count = count
        self._epoch = loader.epoch
        self._names = names

    def block(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the batch whose number `row` holds."""
        number = int(row["id"][0])
        self._loader.set_epoch(self._epoch)
        self._loader.skip(number)
        batches = iter(self._loader)
        batch = next(batches, None)
        # After its last batch, the epoch is complete.
        is_complete = self._loader.epoch != self._epoch
        received = self._count if is_complete else self._loader.batches_received
        if batch is None or received != number + 1:
            raise ValueError(
                f"batch {number} has no sample that can be read, and a block of Ray Data cannot be"
                ' empty: exclude its samples, or use bad_samples="replace"'
            )
        fields = members(batch)
        names = self._names
        if names is None:
            names = list(fields)
            if not all(isinstance(name, str) for name in names):
                raise ValueError(
                    f"names= must give {len(fields)} names: the batches are tuples, whose arrays"
                    " have no names"
                )
        if len(fields) != len(names):
            raise ValueError(
                f"names must have {len(fields)} names, one for each array, not {names}"
            )
        columns = [
            list(field) if isinstance(field, RaggedArray) else field for field in fields.values()
        ]
        return dict(zip(names, columns, strict=True))


def from_ray_data(dataset: Any, names: list[str] | None = None, **options: Any) -> ArrayDataSource:
    """Return a `ray.data.Dataset` as a source with random access.

    Batches are dicts, or tuples of the columns in `names`. The data set is computed here, and stays
    in the object store. `options` are those of `ArrayDataSource`. ValueError for a column that does
    not exist.

    A batch reads all blocks that hold its samples. So on several hosts, shuffle by blocks with a
    `BlockShuffleSampler`. The lengths of the blocks are the `block_lengths` of any column in
    `source.data`.
    """
    blocks = dataset.materialize()
    wanted = blocks.columns() if names is None else names
    missing = [name for name in wanted if name not in blocks.columns()]
    if missing:
        raise ValueError(f"the data set has no columns {missing}, only {blocks.columns()}")
    bundles = list(blocks.iter_internal_ref_bundles())
    refs = [ref for bundle in bundles for ref in bundle.block_refs]
    lengths = np.array(
        [facts.num_rows for bundle in bundles for facts in bundle.metadata], np.int64
    )
    columns = {name: RayDataColumn(refs, lengths, name) for name in wanted}
    return ArrayDataSource(columns if names is None else list(columns.values()), **options)


class RayDataColumn:
    """The column `name` of blocks in the object store; an index array gives an array.

    `block_lengths` are the numbers of rows of the blocks.
    """

    def __init__(self, refs: list[Any], block_lengths: Any, name: str) -> None:
        self.block_lengths = block_lengths
        self._refs = refs
        self._name = name
        self._stops = np.cumsum(block_lengths)

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, index: Any) -> Any:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            return self[np.array([positions])][0]
        blocks = np.searchsorted(self._stops, positions, side="right")
        offsets = positions - (self._stops - self.block_lengths)[blocks]
        needed = np.unique(blocks)
        order = np.argsort(blocks, kind="stable")
        refs = [self._refs[block] for block in needed]
        parts = [
            self._rows(block, offsets[blocks == number])
            for number, block in zip(needed, ray.get(refs), strict=True)
        ]
        rows = np.concatenate(parts)
        result = np.empty_like(rows)
        result[order] = rows
        return result

    def _rows(self, block: Any, offsets: Any) -> Any:
        rows = BlockAccessor.for_block(block).take(offsets.tolist())
        return BlockAccessor.for_block(rows).to_numpy(self._name)
