"""Reads a sample or two when a loader is made, to find errors of all samples early."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any

from PIL import Image

from raybatch.accessors.images import ImageArrays
from raybatch.accessors.items import ItemAccessor
from raybatch.errors import FirstSampleError, ReturnError
from raybatch.faults import Fault, fault_of
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.loader.plan import Plan
from raybatch.loader.producer import Producer
from raybatch.loader.reasons import reason_of
from raybatch.making.bad_rows import Trouble, bad_sample
from raybatch.making.make import make
from raybatch.making.policy import BadSamples
from raybatch.making.request import Request, Result
from raybatch.order.rows import Rows
from raybatch.order.seeds import NO_KEYS
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.image_folder import ImageFolder
from raybatch.sources.ledger import BadSample
from raybatch.sources.mapped import MapDataSource, SampleMapDataSource
from raybatch.sources.source import DataSource, nodes, rows_at
from raybatch.sources.unmarked_masks import tell_unmarked_masks
from raybatch.sources.unmoved import tell_unmoved
from raybatch.structure import leaves

_log = logging.getLogger(__name__)

# A first sample that takes longer is left to the workers.
_MOST_S = 10


def try_first_sample(plan: Plan, producer: Producer, setting: BadSamples, name: str) -> None:
    """Read the first sample of the source of `plan` in this process.

    If workers have copies of the source, a copy is read, because a data set that opens a file when
    it is first read could not be pickled afterwards. The states of all random generators are
    restored.

    FirstSampleError if no worker of `producer` could make a batch of the sample. If only this
    process may be affected, or the error may be temporary, it is logged at INFO for the loader
    `name`, and the workers try again.
    """
    __tracebackhide__ = True  # for the same reason as in `EpochIterator.__next__`
    try:
        source = producer.source_of_workers()
        rows = rows_at(source, 0)
    except Exception as error:  # the workers' own error will say more
        _log.info("loader %r: this process cannot read the source: %s", name, error)
        return
    if rows is None:
        return

    def tried() -> Result:
        with ForeignRandomness(source).seeding():
            result = _tried(source, rows)
            is_wrong = result.error is not None and _is_everywhere(result.error, producer, setting)
            if is_wrong and _has_batch_function(source):
                result = make(source, _first_batch(source, plan.batch_size, setting))
            if result.error is not None:
                return result
            for look in (tell_unmoved, tell_unmarked_masks):
                with suppress(Exception):  # a sample that cannot be read fails in its batch
                    look(source)
            return _of_two(source, plan.batch_size) or _as_arrays(source, result)

    # A worker that is stuck is replaced; this process could only wait.
    result = _within(_MOST_S, tried) if producer.has_copies else tried()
    if result is None:
        _log.info(
            "the first sample of loader %r takes over %d s here, so only workers read it",
            name,
            _MOST_S,
        )
        return
    if result.error is None:
        return
    try:
        reason = reason_of(result.error, result.bad, setting)
        if _is_everywhere(result.error, producer, setting):
            raise FirstSampleError(reason) from result.error
        _log.info("loader %r: this process could not read the first sample: %s", name, reason)
    finally:
        del result  # the traceback of its error can refer to this frame


def _within(seconds: float, do: Callable[[], Result]) -> Result | None:
    """Return `do()`, called in a thread, or raise its error; None if it takes longer."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(do())
        except BaseException as error:
            done.set_exception(error)

    thread = Thread(target=run, name="raybatch-first-sample", daemon=True)
    thread.start()
    thread.join(seconds)
    return done.result() if done.done() else None


def _tried(source: DataSource, rows: Rows) -> Result:
    try:
        return Result(source.read(rows, NO_KEYS))
    except (Exception, SystemExit) as error:
        return Result(error=error, bad=_culprit(source, rows, error))


def _has_batch_function(source: DataSource) -> bool:
    """Return whether `source` has a function of batches, which may fail for a batch of one row."""
    return any(
        isinstance(node, MapDataSource) and not isinstance(node, SampleMapDataSource)
        for node in nodes(source)
    )


def _of_two(source: DataSource, batch_size: int) -> Result | None:
    """Return the error of a batch of two samples that do not stack; None if there is none.

    Any other error may be that of the second sample alone.
    """
    if batch_size < 2 or _has_batch_function(source) or not _stacks(source):
        return None
    rows = rows_at(source, 0, 2)
    if rows is None or len(rows) < 2:
        return None
    result = _tried(source, rows)
    return result if isinstance(result.error, ReturnError) else None


def _stacks(source: DataSource) -> bool:
    """Return whether `source` stacks samples whose shapes are not known to be equal."""
    found = list(nodes(source))
    sources = [node for node in found if isinstance(node, ArrayDataSource)]
    return any(isinstance(node, SampleMapDataSource) for node in found) or any(
        isinstance(field, ItemAccessor)
        or (isinstance(field, ImageArrays) and field.reader_at(0).output_size is None)
        for leaf in sources
        for field in leaf.fields().values()
    )


def _as_arrays(source: DataSource, result: Result) -> Result:
    """Return `result`, or an error if it has the Pillow images of an `ImageFolder` without size."""
    has_folder = any(isinstance(node, ImageFolder) for node in nodes(source))
    if has_folder and any(map(_is_of_images, leaves(result.batch))):
        return Result(
            error=ReturnError(
                "an ImageFolder without size= gives Pillow images of the stored sizes, which make"
                " no array: give it size=224, or a transform that ends with a crop or a"
                " Resize((height, width)), or use source.map_samples(fn)"
            )
        )
    return result


def _is_of_images(leaf: Any) -> bool:
    return isinstance(leaf, list) and len(leaf) > 0 and isinstance(leaf[0], Image.Image)


def _first_batch(source: DataSource, batch_size: int, setting: BadSamples) -> Request:
    rows = rows_at(source, 0, batch_size)
    assert rows is not None
    return Request(rows, NO_KEYS, len(rows), bad_samples=setting)


def _is_everywhere(error: BaseException, producer: Producer, setting: BadSamples) -> bool:
    """Return whether the loader would stop at `error` on every worker, not just in this process."""
    if isinstance(error, ReturnError):
        return True
    if producer.differs_from_here:
        # A wrong argument is wrong on all hosts; files and libraries can differ between hosts.
        return any(isinstance(link, TypeError) for link in _causes(error))
    fault = fault_of(error)
    is_tolerated = setting.policy != "raise" and setting.tolerates(fault)
    return fault is not Fault.PASSING and not is_tolerated


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _culprit(source: DataSource, rows: Rows, error: BaseException) -> tuple[BadSample, ...]:
    if isinstance(error, ReturnError):
        return ()  # no sample is at fault
    try:
        return (bad_sample(source, rows, Trouble.of(error)),)
    except Exception:
        return ()  # the indices of a user's own source can have any structure
