"""Array-likes, callables and iterators as sources of batches, after BatchUp's `data_source`."""

from raybatch.data_source.abstract import (
    AbstractDataSource,
    KeyedRead,
    MapDataSource,
    SampleMapDataSource,
    cursor_of,
    keyed_indices,
)
from raybatch.data_source.array import ArrayDataSource
from raybatch.data_source.batch import Batch, ChoiceBatch, batch_nbytes
from raybatch.data_source.batch_map import batch_map_concat, batch_map_mean
from raybatch.data_source.choice import ChoiceDataSource
from raybatch.data_source.coerce import coerce_data_source
from raybatch.data_source.composite import CompositeDataSource
from raybatch.data_source.digest import StreamDigest, stream_digest
from raybatch.data_source.foreign import CallableDataSource, IteratorDataSource
from raybatch.data_source.random_access import RandomAccessDataSource

__all__ = [
    "AbstractDataSource",
    "ArrayDataSource",
    "Batch",
    "CallableDataSource",
    "ChoiceBatch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "IteratorDataSource",
    "KeyedRead",
    "MapDataSource",
    "RandomAccessDataSource",
    "SampleMapDataSource",
    "StreamDigest",
    "batch_map_concat",
    "batch_map_mean",
    "batch_nbytes",
    "coerce_data_source",
    "cursor_of",
    "keyed_indices",
    "stream_digest",
]
