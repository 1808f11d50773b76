"""Array-likes, callables and iterators as sources of batches, after BatchUp's `data_source`."""

from raybatch.sources.array import ArrayDataSource
from raybatch.sources.bad_rows import bad_sample, sample_places
from raybatch.sources.bad_samples import BadSample, BadSamples, Place
from raybatch.sources.batch import Batch, ChoiceBatch, batch_nbytes, take_rows
from raybatch.sources.batch_map import batch_map_concat, batch_map_mean
from raybatch.sources.choice import ChoiceDataSource
from raybatch.sources.coerce import coerce_data_source
from raybatch.sources.composite import CompositeDataSource
from raybatch.sources.digest import StreamDigest, stream_digest
from raybatch.sources.foreign import CallableDataSource, IteratorDataSource
from raybatch.sources.ledger import BadSampleLedger, EpochTally, excluded
from raybatch.sources.members import MemberDataSource
from raybatch.sources.random_access import RandomAccessDataSource
from raybatch.sources.source import (
    AbstractDataSource,
    KeyedRead,
    MapDataSource,
    SampleMapDataSource,
    cursor_of,
    keyed_indices,
)
from raybatch.sources.tolerant import (
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
