"""One epoch of a DataLoader, made in line or by the workers of a pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data._utils.pin_memory import pin_memory
from torch.utils.data.dataloader import _BaseDataLoaderIter, _SingleProcessDataLoaderIter

from raybatch.adapters.torch.map_style import received
from raybatch.adapters.torch.resuming import Run
from raybatch.adapters.torch.team import Team
from raybatch.making.request import Request
from raybatch.order.position import Position
from raybatch.order.rows import Rows
from raybatch.order.seeds import RandomKeys
from raybatch.pools.stream import OrderedStream
from raybatch.scheduling.settings import Recovery


class InLineIterator(_SingleProcessDataLoaderIter):  # type: ignore[misc] # torch may be missing where types are checked
    """PyTorch's iterator without workers, which also counts its batches."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        with loader._course.beginning(loader, self) as self._run:
            if self._run.is_resumed:
                self._reset(loader)

    def _next_data(self) -> Any:
        try:
            data = super()._next_data()
        except StopIteration:
            self._run.is_finished = True
            raise
        self._run.received += 1
        return data


class PoolIterator(_BaseDataLoaderIter):  # type: ignore[misc] # torch may be missing where types are checked
    """The batches that the workers of `team` make.

    With persistent workers a loader has one iterator, which is reset for each epoch.
    """

    _stream: OrderedStream | None = None

    def __init__(self, loader: Any, team: Team) -> None:
        super().__init__(loader)
        self._team = team
        self._reset(loader)

    def _reset(self, loader: Any, first_iter: bool = False) -> None:
        self._stream = None  # frees the batches made ahead
        with loader._course.beginning(loader, self) as self._run:
            super()._reset(loader, first_iter)
        requests = _requests(
            self._sampler_iter, self._run, RandomKeys(self._base_seed, self._run.epoch, 0)
        )
        # None of these arguments refers to this iterator. In a cycle the stream would live on, but
        # it must end as soon as its loop is left.
        self._stream = OrderedStream(
            self._team.opened(loader),
            requests,
            self._team.limit(loader.prefetch_factor * loader.num_workers),
            self._recovery(),
            largest_bytes=self._team.largest_bytes,
        )

    def _next_data(self) -> Any:
        assert self._stream is not None
        try:
            request, result = next(self._stream)
        except StopIteration:
            self._run.is_finished = True
            raise
        self._run.received = request.step + 1
        self._team.largest_bytes = self._stream.largest_bytes
        try:
            if result.error is not None:
                raise _raisable(result.error, self._timeout)
            data = received(result.batch)
        finally:
            del result  # in line, the traceback of the error refers to this frame
        return pin_memory(data, self._pin_memory_device) if self._pin_memory else data

    def _recovery(self) -> Recovery:
        if not self._timeout:
            return Recovery()
        if hasattr(self._team.pool, "wait_until_up"):
            # The timeout is for batches, not for the start of actors.
            self._team.pool.wait_until_up()
        return Recovery(no_progress_timeout_s=self._timeout)


def _requests(sampler_iter: Iterator[Any], run: Run, keys: RandomKeys) -> Iterator[Request]:
    """Iterate over the requests for the sampler's batches, after those received before."""
    position = run.samples
    for step, indices in enumerate(sampler_iter, run.received):
        keys = keys._replace(batch=step)
        yield Request(
            Rows.of(indices, position), keys, valid=1, position=Position(batches=step + 1)
        )
        position += run.count(indices)


def _raisable(error: Exception, timeout: float) -> Exception:
    """Return the error to raise for `error`, as PyTorch's loader raises it.

    An error of the data set is raised unchanged.
    """
    if timeout > 0 and isinstance(error, TimeoutError) and error.__cause__ is None:
        substitute = RuntimeError(f"DataLoader timed out after {timeout} seconds")
    elif isinstance(error, StopIteration):
        substitute = RuntimeError("the data set raised StopIteration, which would end the loop")
    else:
        return error
    substitute.__cause__ = error
    return substitute
