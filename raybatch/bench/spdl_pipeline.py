"""SPDL's pipeline on threads, around the plain function; its own decoder gives other pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spdl.pipeline import PipelineBuilder

from raybatch.bench.plain import read_batch
from raybatch.bench.work import Work


def batches(work: Work) -> Iterator[tuple[Any, Any]]:
    """Load each batch in one of `work.workers` threads."""

    def read(indices: Any) -> tuple[Any, Any]:
        return read_batch(work, indices), indices

    pipeline = (
        PipelineBuilder()
        .add_source(work.epochs * work.batch_indices())
        .pipe(read, concurrency=work.workers, output_order="input")
        .add_sink(2)
        .build(num_threads=work.workers, max_failures=0)
    )
    with pipeline.auto_stop():
        yield from pipeline.get_iterator()
