"""Trees of sources, which make batches from arrays and accessors."""

from raybatch.sources.array import ArrayDataSource, RandomAccessDataSource
from raybatch.sources.batch import (
    Batch,
    batch_length,
    batch_nbytes,
    batch_row,
    extended,
    row_counts,
)
from raybatch.sources.digest import StreamDigest, stream_digest
from raybatch.sources.image_folder import ImageFolder
from raybatch.sources.ledger import BadSample, BadSampleLedger, excluded
from raybatch.sources.mapped import MapDataSource, SampleMapDataSource, unmapped
from raybatch.sources.mix import MixDataSource
from raybatch.sources.returned import called
from raybatch.sources.several import ChoiceDataSource, CompositeDataSource, OneOfSeveralDataSource
from raybatch.sources.source import (
    DataSource,
    check_source,
    has_equal_lengths,
    nodes,
    rows_at,
)

__all__ = [
    "ArrayDataSource",
    "BadSample",
    "BadSampleLedger",
    "Batch",
    "ChoiceDataSource",
    "CompositeDataSource",
    "DataSource",
    "ImageFolder",
    "MapDataSource",
    "MixDataSource",
    "OneOfSeveralDataSource",
    "RandomAccessDataSource",
    "SampleMapDataSource",
    "StreamDigest",
    "batch_length",
    "batch_nbytes",
    "batch_row",
    "called",
    "check_source",
    "excluded",
    "extended",
    "has_equal_lengths",
    "nodes",
    "row_counts",
    "rows_at",
    "stream_digest",
    "unmapped",
]
