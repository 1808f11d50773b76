"""BatchUp's `data_source`."""

from raybatch.batchup.batch_map import batch_map_concat, batch_map_mean
from raybatch.batchup.foreign import (
    CallableDataSource,
    IteratorDataSource,
    coerce_data_source,
)
from raybatch.batchup.nested import ChoiceBatch, MixBatch
from raybatch.batchup.tree import (
    AbstractDataSource,
    ArrayDataSource,
    ChoiceDataSource,
    CompositeDataSource,
    ImageFolder,
    MapDataSource,
    MixDataSource,
    RandomAccessDataSource,
    SampleMapDataSource,
)
from raybatch.sources.batch import Batch, batch_nbytes
from raybatch.sources.digest import StreamDigest, stream_digest
from raybatch.sources.ledger import BadSample, BadSampleLedger

__all__ = [
    "AbstractDataSource",
    "ArrayDataSource",
    "BadSample",
    "BadSampleLedger",
    "Batch",
    "CallableDataSource",
    "ChoiceBatch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "ImageFolder",
    "IteratorDataSource",
    "MapDataSource",
    "MixBatch",
    "MixDataSource",
    "RandomAccessDataSource",
    "SampleMapDataSource",
    "StreamDigest",
    "batch_map_concat",
    "batch_map_mean",
    "batch_nbytes",
    "coerce_data_source",
    "stream_digest",
]
