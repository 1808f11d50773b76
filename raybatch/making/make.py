"""Making a batch: the whole of what a worker runs, wherever the worker is.

rows ─► source.read ─► batch
│ error
▼
each row alone ─► the bad ones ─► skipped, replaced, or named ─► the rest is read again

Whose fault an error is decides: what may pass is tried again, and only a sample's own is skipped or replaced.
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
from raybatch.order import Rows
from raybatch.retries import Retries
from raybatch.sources import BadSample, Batch, DataSource
from raybatch.stages import StageTimes, collecting

# A replacement that is bad too is replaced in turn, this often.
_MAX_DRAWS = 20

# How often samples that can each be read alone are read together.
_MAX_ATTEMPTS = 10


def make(
    source: DataSource, request: Request, passing: tuple[type[BaseException], ...] = ()
) -> Result:
    """Return the batch that `request` asks of `source`, or the error that it raises; `passing` are raised on.

    What would end a worker, or the consumer, such as SystemExit, becomes an error.
    """
    times, begun_at = StageTimes(), time.perf_counter()
    with collecting(times):
        try:
            result = _made(source, request)
        except passing:
            raise
        except BaseException as error:
            # Without a name: the traceback of the error leads to this frame, which would keep it.
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
    if setting.policy == "raise":
        batch = Retries().call(source.read, request.rows, request.keys)
        return Result(batch, request.valid)
    return _Tolerant(source, request, setting).result()


class _Tolerant:
    """A batch without its bad samples, or with others in their place.

    The batch is read as a whole. If that fails, each of its samples is read alone, which tells the bad ones,
    whatever kind of array or accessor they come from; and the rest is read again as a whole. An error that `setting` does not
    tolerate is raised.
    """

    def __init__(self, source: DataSource, request: Request, setting: BadSamples) -> None:
        self._source, self._request, self._setting = source, request, setting
        self._rows = request.rows
        self._draws: dict[int, Iterator[Rows]] = {}
        self._left = list(range(request.valid))
        self._bad: list[BadSample] = []

    def result(self) -> Result:
        if self._request.known:
            self._drop(known_rows(self._rows, self._request.known))
        attempts = 0
        while self._left:
            try:
                batch = Retries().call(self._read)
                return Result(batch, len(self._left), tuple(self._bad))
            except ReturnError:
                raise  # no sample is at fault
            except (Exception, SystemExit) as error:
                fault = fault_of(error)
                # Of what may pass, the samples one by one say whether it does: one read in some hundred may fail.
                if fault is not Fault.PASSING and not self._setting.tolerates(fault):
                    raise
                found = self._bad_rows()
                # Samples that can all be read one by one are read together again, or a place at which one read in some
                # hundred fails would end every run.
                attempts = 0 if found else attempts + 1
                if attempts == _MAX_ATTEMPTS:
                    raise
            self._drop({self._left[number]: sample for number, sample in found.items()})
        return Result(bad=tuple(self._bad), is_empty=True)

    def _bad_rows(self) -> dict[int, BadSample]:
        """Return which of those that are left cannot be read, by their number; what is not tolerated is raised."""
        rows, keys, found = self._rows.take(self._left), self._request.keys, {}
        for number, bad in bad_rows(self._source, rows, keys).items():
            if self._setting.tolerates(bad.fault):
                found[number] = bad.sample
            else:
                self._source.read(rows.take([number]), keys)  # raises it again
        return found

    def _read(self) -> Batch:
        left, length = self._left, len(self._rows)
        if len(left) == length:
            return self._source.read(self._rows, self._request.keys)
        if self._request.is_padded:
            left = left + left[-1:] * (length - len(left))
        return self._source.read(self._rows.take(left), self._request.keys)

    def _drop(self, found: Mapping[int, BadSample]) -> None:
        """Take the rows `found` out, or put other samples there."""
        for row, sample in sorted(found.items()):
            self._bad.append(sample)
            if self._setting.policy == "replace":
                self._rows = self._rows.put(row, self._replacement(row))
            else:
                self._left.remove(row)

    def _replacement(self, row: int) -> Rows:
        """Return a sample to take the place of `row`.

        Whether it can be read shows when the batch is read again; if not, this is called again.
        """
        if row not in self._draws:
            self._draws[row] = self._drawn_for(row)
        for drawn in self._draws[row]:
            bad = known_rows(drawn, self._request.known)
            if not bad:
                return drawn
            self._bad.extend(bad.values())
        raise BadSamplesError(
            f"{_MAX_DRAWS} samples were drawn to replace a bad one, and none can be read; the last: "
            f"{self._bad[-1].message}"
        )

    def _drawn_for(self, row: int) -> Iterator[Rows]:
        one = self._request.rows.take([row])
        rng = self._request.keys.of_replacement(*self._source.sample_numbers(one)[0])
        return (self._source.draw(one, rng) for _ in range(_MAX_DRAWS))


def _culprit(source: DataSource, request: Request, error: BaseException) -> tuple[BadSample, ...]:
    """Return the first sample that the error is about, if there is a setting for bad samples and such a sample."""
    setting = request.bad_samples
    if setting is None or not isinstance(error, Exception) or isinstance(error, ReturnError):
        return ()
    try:
        found = bad_rows(source, request.rows, request.keys)
    except Exception:
        return ()  # the indices of a source of the user's own may have any structure
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
        substitute = RemoteError(
            f"the code that makes a batch raised {type(error).__name__}: {error}"
        )
    substitute.__cause__ = error
    return substitute
