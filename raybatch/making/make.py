"""Making a batch: the whole of what a worker runs, wherever the worker is.

rows ─► source.read ─► batch
│ error
▼
each row alone ─► the bad ones ─► skipped, replaced, or named ─► the rest is read again
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from raybatch.errors import BadSamplesError, RemoteError, ReturnError
from raybatch.making.bad_rows import bad_rows, known_rows
from raybatch.making.request import Request, Result
from raybatch.order import Rows
from raybatch.sources import BadSample, Batch, DataSource
from raybatch.stages import StageTimes, collecting

# A replacement that is bad too is replaced in turn, this often.
_MAX_DRAWS = 20


def make(
    source: DataSource, request: Request, passing: tuple[type[BaseException], ...] = ()
) -> Result:
    """Return the batch that `request` asks of `source`, or the error that it raises; `passing` are raised on.

    What would end a worker, or the consumer, such as SystemExit, becomes an error.
    """
    times, begun_at = StageTimes(), time.perf_counter()
    with collecting(times):
        try:
            if request.policy in ("skip", "replace"):
                result = _Tolerant(source, request).result()
            else:
                result = Result(source.read(request.rows, request.keys), request.valid)
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


class _Tolerant:
    """A batch without its bad samples, or with others in their place.

    The batch is read as a whole. If that fails, each of its samples is read alone, which tells the bad ones,
    whatever kind of array or accessor they come from; and the rest is read again as a whole.
    """

    def __init__(self, source: DataSource, request: Request) -> None:
        self._source, self._request = source, request
        self._rows = request.rows
        self._draws: dict[int, Iterator[Rows]] = {}
        self._left = list(range(request.valid))
        self._bad: list[BadSample] = []

    def result(self) -> Result:
        if self._request.known:
            self._drop(known_rows(self._rows, self._request.known))
        is_checked = False
        while self._left:
            try:
                return Result(self._read(), len(self._left), tuple(self._bad))
            except ReturnError:
                raise  # no sample is at fault
            except (Exception, SystemExit):
                rows = self._rows.take(self._left)
                found = bad_rows(self._source, rows, self._request.keys)
                # Samples that can be read one by one deserve another try, but only one.
                if not found and is_checked:
                    raise
                is_checked = True
            self._drop({self._left[number]: sample for number, sample in found.items()})
        return Result(bad=tuple(self._bad), is_empty=True)

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
            if self._request.policy == "replace":
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
    """Return the first sample that cannot be read, if the policy is to name it and there is one."""
    if (
        request.policy != "raise"
        or not isinstance(error, Exception)
        or isinstance(error, ReturnError)
    ):
        return ()
    try:
        found = bad_rows(source, request.rows, request.keys)
    except Exception:
        return ()  # the indices of a source of the user's own may have any structure
    return (found[min(found)],) if found else ()


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
