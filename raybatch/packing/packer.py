"""Writes the batches of a source into Arrow files, on a pool; an interrupted packing continues.

batches, made by the pool ─► rows of file k, copied ─► thread: write aside, sync, rename, record
                             rows of file k + 1 ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

from raybatch.accessors.manifest import Manifest, PackedColumn
from raybatch.checks import in_order, positive_int
from raybatch.errors import BadSamplesError, BatchError
from raybatch.faults import fault_of
from raybatch.loader.loader import Loader
from raybatch.making.policy import BadSamples
from raybatch.packing.arrow_file import FileRows, column_of
from raybatch.packing.packed_folder import PackFolder, pack_folder
from raybatch.packing.provenance import provenance
from raybatch.packing.store_folder import store_folder
from raybatch.pools.pool import WorkerPool
from raybatch.sources.batch import Batch, batch_nbytes
from raybatch.sources.ledger import BadSample, BadSampleLedger
from raybatch.sources.source import DataSource
from raybatch.stores.written import in_store
from raybatch.structure import is_plain_tuple, members

_FILE_BYTES = 256 * 2**20


class Packed(NamedTuple):
    """The result of `pack`: the folder, rows, bytes, number of new files, and bad samples."""

    directory: str
    rows: int
    nbytes: int
    files_written: int
    bad_samples: BadSampleLedger


def pack(
    source: DataSource,
    directory: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    rows_per_file: int | None = None,
    pool: WorkerPool | None = None,
    bad_samples: BadSamples | str = "raise",
    progress_iter_func: Callable[..., Iterable[Batch]] | None = None,
) -> Packed:
    """Write all batches of `source`, in order, into Arrow files for `PackedAccessor`.

    Each array of a batch is a column of numbers, times or strings; an array with more than one axis
    must hold numbers. `_manifest.json` has the schema, the rows, size and CRC-32 of each file, and
    the settings of the pixels.

    The files `00000-of-00012.arrow` are Arrow IPC files of one uncompressed record batch each, and
    two of them are in memory at a time. Arrays with more than one axis are Arrow's fixed-shape
    tensors. Files are renamed into place when they are on the disk. If you run an interrupted
    packing again, it writes the missing files only. It does not notice images that have changed in
    between; remove the folder in that case.

    Args:
        source: The source, with a fixed number of samples.
        directory: A local folder, or a URL of a store, such as `s3://bucket/packed`. For a store,
            each file is made in the folder for temporary files, and then copied. There is no lock
            in a store: let one process at a time pack into it.
        names: The names of the columns of tuples, by default "image", "label", "column2" and so
            on. Dicts and other batches with names name the columns themselves.
        classes: The names of the classes of the labels.
        batch_size: The number of rows in a batch while packing.
        rows_per_file: The number of rows in a file, rounded up to whole batches; by default, about
            256 MB of rows.
        pool: The pool that makes the batches; None makes them in this process.
        bad_samples: "raise", "skip" (their rows are left out, so files differ in length),
            "replace", or a `BadSamples`.
        progress_iter_func: `progress_iter_func(batches, total=..., leave=False)` wraps the
            iteration; `tqdm.tqdm` is such a function.

    Raises ValueError for a source without samples, for a `directory` that is a URL of a web server,
    and for names that do not match the arrays or the names in the batches; TypeError for a source
    without end, names that are not strings, and values that cannot be a column; PackError, which
    names the difference, if the folder was packed from a different source or with different
    settings, or if another process is packing into it; FileExistsError if the folder holds
    something else; BatchError for a batch that cannot be made.
    """
    setting = BadSamples.of(bad_samples)
    if rows_per_file is not None:
        rows_per_file = positive_int("rows_per_file", rows_per_file)
    _check_names("names", names)
    _check_names("classes", classes)
    with Loader(source, batch_size, pool=pool, bad_samples=setting, check_sample=False) as loader:
        if len(loader) == 0:
            raise ValueError("the source has no samples to pack")
        # An error names the first setting that differs, so causes stand before their effects.
        settings = {
            "batch_size": loader.batch_size,
            "bad_samples": setting.policy,
            "source": provenance(source),
            "batches": len(loader),
        }
        if rows_per_file is not None:
            size = loader.batch_size
            settings["rows_per_file"] = -(-rows_per_file // size) * size
        opened = store_folder if in_store(directory) else pack_folder
        with opened(directory) as folder:
            folder.find(settings, names, classes)
            if folder.is_new:
                first = _first_sample(source, setting, pool)
                columns = _columns(first, names)
                rows = max(1, _FILE_BYTES // max(1, batch_nbytes(first)))
                in_batches = {"rows_per_file": -(-rows // loader.batch_size) * loader.batch_size}
                classes = None if classes is None else tuple(classes)
                folder.begin(Manifest(columns, {**in_batches, **settings}, classes))
            written = _write_missing(folder, loader, progress_iter_func)
            folder.finish()
    manifest = folder.manifest
    bad = [one for file in manifest.files for one in file.bad_samples]
    return Packed(
        os.fspath(directory),
        manifest.rows,
        sum(file.nbytes for file in manifest.files),
        written,
        BadSampleLedger(BadSample(**{**one, "member": tuple(one["member"])}) for one in bad),
    )


def _check_names(what: str, names: Sequence[str] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not all(isinstance(name, str) for name in in_order(what, names)):
        raise TypeError(f"{what} must be a list of strings, not {names!r}")


def _first_sample(source: DataSource, setting: BadSamples, pool: WorkerPool | None) -> Batch:
    """Return the first readable sample, to learn its shapes before the first file begins."""
    with Loader(source, 1, pool=pool, prefetch=1, check_sample=False) as loader:
        batches = iter(loader)
        while True:
            try:
                return next(batches)
            except StopIteration:
                raise BadSamplesError("no sample of the source can be read") from None
            except BatchError as error:
                fault = fault_of(error.__cause__ or error)
                if setting.policy == "raise" or not setting.tolerates(fault):
                    raise


def _columns(sample: Batch, names: Sequence[str] | None) -> tuple[PackedColumn, ...]:
    fields = members(sample)
    if not is_plain_tuple(sample):
        if names is not None and sorted(names) != sorted(fields):
            raise ValueError(
                f"the batches name their own columns, {list(fields)}, so names={list(names)} cannot"
                " apply"
            )
        return tuple(column_of(name, array) for name, array in fields.items())
    default = ["image", "label", *(f"column{number}" for number in range(2, len(fields)))]
    names = default[: len(fields)] if names is None else list(names)
    if len(names) != len(fields) or len(set(names)) < len(names):
        raise ValueError(
            f"names must be {len(fields)} different names, one for each array, not {names}"
        )
    return tuple(column_of(name, array) for name, array in zip(names, sample, strict=True))


def _write_missing(
    folder: PackFolder,
    loader: Loader,
    progress_iter_func: Callable[..., Iterable[Batch]] | None,
) -> int:
    """Write the files that are missing in `folder`, and return their number."""
    missing = folder.missing()
    if not missing:
        return 0
    feed = _Feed(loader, folder.batches_per_file, missing)
    batches: Iterable[Batch] = feed
    if progress_iter_func is not None:
        size = folder.batches_per_file
        total = sum(min(size, len(loader) - number * size) for number in missing)
        batches = progress_iter_func(batches, total=total, leave=False)
    # While a file is written, the rows of the next one are collected.
    with ThreadPoolExecutor(1, "raybatch-pack") as executor:
        written: Future[None] | None = None
        for number, rows in _files(folder, feed, batches, missing):
            if written is not None:
                written.result()
            written = executor.submit(folder.write, number, rows, loader.bad_samples)
        if written is not None:
            written.result()
    return len(missing)


def _files(
    folder: PackFolder, feed: _Feed, batches: Iterable[Batch], missing: list[int]
) -> Iterator[tuple[int, FileRows]]:
    """Iterate over the numbers and rows of the files, each once its rows are complete.

    Files without rows come last.
    """
    empty = dict.fromkeys(missing)
    number, rows = -1, None
    for batch in batches:
        if feed.step // folder.batches_per_file != number:
            if rows is not None:
                yield number, rows
            number = feed.step // folder.batches_per_file
            rows = folder.rows_of(number)
            del empty[number]
        assert rows is not None
        rows.add(batch)
        if (feed.step + 1) % folder.batches_per_file == 0:
            yield number, rows
            rows = None
    if rows is not None:
        yield number, rows
    for number in empty:
        yield number, folder.rows_of(number)


class _Feed:
    """The batches of `files`, in runs of consecutive files; `step` numbers the last batch."""

    def __init__(self, loader: Loader, batches_per_file: int, files: list[int]) -> None:
        self.step = -1
        self._loader = loader
        self._size = batches_per_file
        self._files = files

    def __iter__(self) -> Iterator[Batch]:
        # Consecutive numbers have the same difference from their positions, which marks a run.
        for _, run in groupby(enumerate(self._files), lambda one: one[1] - one[0]):
            numbers = [number for _, number in run]
            yield from self._run(numbers[0] * self._size, (numbers[-1] + 1) * self._size)

    def _run(self, start: int, stop: int) -> Iterator[Batch]:
        self._loader.set_epoch(0)
        self._loader.skip(start)
        for batch in self._loader:
            # Batches without a good sample never arrive, so the number can be beyond the end of the
            # run.
            self.step = self._loader.batches_received - 1
            if self.step < stop:
                yield batch
            if self.step >= stop - 1:
                return
