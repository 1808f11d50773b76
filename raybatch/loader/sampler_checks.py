"""Checks of the samplers when a loader is made."""

from __future__ import annotations

from raybatch.notices import tell
from raybatch.order.grouped import GroupedSampler
from raybatch.order.groups import GroupsSampler
from raybatch.sources.array import RandomAccessDataSource
from raybatch.sources.several import ChoiceDataSource, CompositeDataSource
from raybatch.sources.source import DataSource, nodes


def check_samplers(source: DataSource, batch_size: int, world_size: int, *, drops: bool) -> None:
    """Raise ValueError if a sampler in `source` cannot give batches of `batch_size` to each rank.

    Report groups that are never drawn, if the loader `drops` short batches.
    """
    for node in nodes(source):
        _check_keeps_groups(node)
    several = [n for n in nodes(source) if isinstance(n, (ChoiceDataSource, CompositeDataSource))]
    for node in nodes(source):
        if not isinstance(node, RandomAccessDataSource):
            continue
        sampler = node.sampler
        sampler.check_batch_size(batch_size)
        if not isinstance(sampler, GroupedSampler):
            continue
        if several and sampler.has_batch_sizes:
            raise ValueError(
                f"the batches of a {type(several[0]).__name__} have one size, but a GroupedSampler"
                " in it has batch_sizes: leave them out, or use a separate loader for its source"
            )
        few, groups = sampler.small_groups(batch_size * world_size)
        if few and drops:
            tell(
                f'{few} of {groups} groups have fewer samples than a batch, so last_batch="drop"'
                ' never draws them: join them with other groups, or use last_batch="keep" or "pad"'
            )


def _check_keeps_groups(node: DataSource) -> None:
    """Raise ValueError if `node` mixes its children's samples, and one child batches by group."""
    if len(node.children) < 2 or isinstance(node, (ChoiceDataSource, CompositeDataSource)):
        return
    for below in nodes(node):
        sampler = getattr(below, "sampler", None)
        if isinstance(sampler, GroupsSampler):
            name = type(sampler).__name__
            raise ValueError(
                f"the batches of a {type(node).__name__} mix the samples of all its members, which"
                f" would split the batches of a {name} in it: use one {name} over all samples, or a"
                " ChoiceDataSource, which takes each batch from one member"
            )
