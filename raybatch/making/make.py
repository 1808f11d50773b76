"""Makes a batch. Every worker runs this, on every pool.

    rows ─► source.read ─► batch
                │ error
                ▼
    read each row alone ─► skip, replace or name the bad ones ─► read the rest again

The fault behind an error decides what happens: a temporary error is retried, and only a sample that
is itself at fault is skipped or replaced.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import islice

from raybatch.errors import BadSamplesError, RemoteError, ReturnError
from raybatch.faults import Fault, fault_of
from raybatch.making.bad_rows import bad_rows, known_rows
from raybatch.making.policy import BadSamples
from raybatch.making.request import Request, Result
from raybatch.order.rows import Rows
from raybatch.retries import Retries
from raybatch.sources.batch import Batch
from raybatch.sources.ledger import BadSample
from raybatch.sources.source import DataSource
from raybatch.stages import StageTimes, collecting

# A replacement can be bad too, so up to this many are tried.
_MAX_DRAWS = 20

# A batch is given up after this many failed reads, if each of its samples can be read alone.
_MAX_ATTEMPTS = 10


def make(
    source: DataSource, request: Request, passing: tuple[type[BaseException], ...] = ()
) -> Result:
    """Return a result with the batch that `request` asks for, or with the error that was raised.

    Exceptions that would end a worker or the consumer, such as SystemExit, become a RemoteError.
    Only exceptions of the types in `passing` are raised.
    """
    times, begun_at = StageTimes(), time.perf_counter()
    with collecting(times):
        try:
            result = _made(source, request)
        except passing:
            raise
        except BaseException as error:
            # No variable for the result: the error's traceback holds this frame, which would hold
            # the error in turn.
            return Result(
                error=_as_exception(error),
                bad=_culprit(source, request, error),
                seconds=times.until_now(begun_at),
            )
    return result._replace(seconds=times.until_now(begun_at))


def _made(source: DataSource, request: Request) -> Result:
    setting = request.bad_samples
    if setting is None:
        return Result(source.read(request.rows, request.keys), request.valid)
    if setting.policy == "raise" or not request.valid:
        batch = Retries().call(source.read, request.rows, request.keys)
        return Result(batch, request.valid)
    return _Tolerant(source, request, setting).result()


class _Tolerant:
    """Makes a batch without its bad samples, or with other samples in their place.

    First it reads the batch as a whole. If that fails, it reads each sample alone to find the bad
    ones; this works for any kind of array or accessor. Then it reads the rest as a whole. An error
    that `setting` does not tolerate is raised.
    """

    def __init__(self, source: DataSource, request: Request, setting: BadSamples) -> None:
        self._source, self._request, self._setting = source, request, setting
        self._rows = request.rows
        self._draws: dict[int, Iterator[Rows]] = {}
        self._left = list(range(request.valid))
        self._bad: list[BadSample] = []

    def result(self) -> Result:
        if self._request.known:
            known = known_rows(self._rows.take(self._left), self._request.known)
            self._drop({self._left[number]: sample for number, sample in known.items()})
        attempts = 0
        while self._left:
            try:
                batch = Retries().call(self._read)
                return Result(batch, len(self._left), tuple(self._bad))
            except ReturnError:
                raise  # no sample is at fault
            except (Exception, SystemExit) as error:
                fault = fault_of(error)
                # A temporary error, such as a busy server's, may hit one read in a hundred. Reading
                # the samples one by one, with retries, shows whether it was temporary.
                if fault is not Fault.PASSING and not self._setting.tolerates(fault):
                    raise
                found = self._bad_rows()
                # If each sample can be read alone, read the batch again: if one read in a hundred
                # fails, a large batch rarely succeeds the first time.
                attempts = 0 if found else attempts + 1
                if attempts == _MAX_ATTEMPTS:
                    raise
            self._drop({self._left[number]: sample for number, sample in found.items()})
        return Result(bad=tuple(self._bad), is_empty=True)

    def _bad_rows(self) -> dict[int, BadSample]:
        """Return the bad samples among those in `_left`, by their position there.

        An error that is not tolerated is raised.
        """
        rows, keys, found = self._rows.take(self._left), self._request.keys, {}
        for number, bad in bad_rows(self._source, rows, keys).items():
            if self._setting.tolerates(bad.fault):
                found[number] = bad.sample
            else:
                self._source.read(rows.take([number]), keys)  # raises the original error again
        return found

    def _read(self) -> Batch:
        left, length = self._left, len(self._rows)
        if len(left) == length:
            return self._source.read(self._rows, self._request.keys)
        if self._request.is_padded:
            left = left + left[-1:] * (length - len(left))
        return self._source.read(self._rows.take(left), self._request.keys)

    def _drop(self, found: Mapping[int, BadSample]) -> None:
        """Remove the rows `found` from the batch, or replace them with other samples."""
        for row, sample in sorted(found.items()):
            self._bad.append(sample)
            if self._setting.policy == "replace":
                self._rows = self._rows.put(row, self._replacement(row))
            else:
                self._left.remove(row)

    def _replacement(self, row: int) -> Rows:
        """Return a sample to replace `row`.

        It may be bad too. Then the next read of the batch fails, and this is called again.
        """
        if row not in self._draws:
            self._draws[row] = self._drawn_for(row)
        for drawn in self._draws[row]:
            bad = known_rows(drawn, self._request.known)
            if not bad:
                return drawn
            self._bad.extend(bad.values())
        raise BadSamplesError(
            f"{_MAX_DRAWS} samples were drawn to replace a bad one, and none of them can be read; "
            f"the last error: {self._bad[-1].description}"
        )

    def _drawn_for(self, row: int) -> Iterator[Rows]:
        one = self._request.rows.take([row])
        rng = self._request.keys.of_replacement(*self._source.sample_numbers(one)[0])
        return (self._source.draw(one, rng) for _ in range(_MAX_DRAWS))


def _culprit(source: DataSource, request: Request, error: BaseException) -> tuple[BadSample, ...]:
    """Return the first sample that causes `error`; () without one, or without `bad_samples`."""
    setting = request.bad_samples
    if setting is None or not isinstance(error, Exception) or isinstance(error, ReturnError):
        return ()
    try:
        found = bad_rows(source, request.rows, request.keys)
    except Exception:
        return ()  # a user's own source may have indices that cannot be split into rows
    culprits = (
        bad.sample
        for _, bad in sorted(found.items())
        if setting.policy == "raise" or not setting.tolerates(bad.fault)
    )
    return tuple(islice(culprits, 1))


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    if isinstance(error, SystemExit):
        substitute = RemoteError(f"the code that makes a batch called sys.exit({error.code!r})")
    else:
        name = type(error).__name__
        substitute = RemoteError(f"the code that makes a batch raised {name}: {error}")
    substitute.__cause__ = error
    return substitute
