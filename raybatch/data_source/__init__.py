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
from raybatch.data_source.bad_rows import bad_sample, sample_places
from raybatch.data_source.bad_samples import BadSample, BadSamples, Place
from raybatch.data_source.batch import Batch, ChoiceBatch, batch_nbytes, take_rows
from raybatch.data_source.batch_map import batch_map_concat, batch_map_mean
from raybatch.data_source.choice import ChoiceDataSource
from raybatch.data_source.coerce import coerce_data_source
from raybatch.data_source.composite import CompositeDataSource
from raybatch.data_source.digest import StreamDigest, stream_digest
from raybatch.data_source.foreign import CallableDataSource, IteratorDataSource
from raybatch.data_source.ledger import BadSampleLedger, EpochTally, excluded
from raybatch.data_source.members import MemberDataSource
from raybatch.data_source.random_access import RandomAccessDataSource
from raybatch.data_source.tolerant import (
    BadSampleFound,
    MadeBatch,
    Request,
    StrictRead,
    TolerantDataSource,
    TolerantRead,
    check_tolerable,
)

__all__ = [
    "AbstractDataSource",
    "ArrayDataSource",
    "BadSample",
    "BadSampleFound",
    "BadSampleLedger",
    "BadSamples",
    "Batch",
    "CallableDataSource",
    "ChoiceBatch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "EpochTally",
    "IteratorDataSource",
    "KeyedRead",
    "MadeBatch",
    "MapDataSource",
    "MemberDataSource",
    "Place",
    "RandomAccessDataSource",
    "Request",
    "SampleMapDataSource",
    "StreamDigest",
    "StrictRead",
    "TolerantDataSource",
    "TolerantRead",
    "bad_sample",
    "batch_map_concat",
    "batch_map_mean",
    "batch_nbytes",
    "check_tolerable",
    "coerce_data_source",
    "cursor_of",
    "excluded",
    "keyed_indices",
    "sample_places",
    "stream_digest",
    "take_rows",
]
