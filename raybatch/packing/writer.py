"""The rows of one file after the other, each written while the next one fills."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from raybatch.packing.arrow_file import FileRows, column_of, write_arrow_file
from raybatch.packing.folder import PackFolder
from raybatch.sources import BadSampleLedger, Batch


class FileWriter:
    """Writes files into `folder`; `ledger` has the bad samples of the batches so far.

    Leaving the `with` waits for the file that is being written. An error in writing is raised with the next file.
    """

    def __init__(self, folder: PackFolder, ledger: BadSampleLedger) -> None:
        self._folder = folder
        self._ledger = ledger
        self._columns = folder.manifest.columns
        self._number = -1
        self._rows: FileRows | None = None
        self._written: set[int] = set()
        self._executor = ThreadPoolExecutor(1, "raybatch-pack")
        self._pending: Future[None] | None = None

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown()

    def add(self, number: int, batch: Batch, is_last: bool) -> None:
        """Add `batch` to file `number`, which begins where the one before ends; `is_last` of the file."""
        self._check(batch)
        if number != self._number:
            self._end_file()
            self._number, self._rows = number, self._new_rows(number)
        assert self._rows is not None
        self._rows.add(batch)
        if is_last:
            self._end_file()

    def end(self, numbers: Iterable[int]) -> None:
        """End the last file, and write those of `numbers` for which no batch came, without rows."""
        self._end_file()
        for number in numbers:
            if number not in self._written:
                self._number, self._rows = number, FileRows(self._columns, 0)
                self._end_file()
        if self._pending is not None:
            self._pending.result()

    def _new_rows(self, number: int) -> FileRows:
        settings, size = self._folder.manifest.settings, self._folder.batches_per_file
        batches = min(size, int(settings["batches"]) - number * size)
        return FileRows(self._columns, batches * int(settings["batch_size"]))

    def _end_file(self) -> None:
        if self._rows is None:
            return
        if self._pending is not None:
            self._pending.result()
        size = self._folder.batches_per_file
        batches = range(self._number * size, (self._number + 1) * size)
        bad = tuple(dataclasses.asdict(one) for one in self._ledger if one.batch in batches)
        self._written.add(self._number)
        self._pending = self._executor.submit(self._write, self._number, self._rows, bad)
        self._rows = None

    def _write(self, number: int, rows: FileRows, bad: tuple[dict[str, object], ...]) -> None:
        path = self._folder.path / self._folder.file_names[number]
        classes = self._folder.manifest.classes
        self._folder.note(write_arrow_file(path, self._columns, rows, classes, bad))

    def _check(self, batch: Batch) -> None:
        columns = self._columns
        if len(batch) != len(columns):
            raise ValueError(f"a batch has {len(batch)} arrays, the first one had {len(columns)}")
        for column, array in zip(columns, batch, strict=True):
            found = column_of(column.name, array)
            if found != column:
                raise ValueError(
                    f"{column.name!r} is {found.dtype} of shape {found.shape} in a batch, and was {column.dtype} of "
                    f"{column.shape} in the first: rows of a file have one dtype and shape"
                )
