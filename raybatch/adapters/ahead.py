"""Batches that travel to a device before the loop asks for them."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from raybatch.checks import counted, int_between
from raybatch.loader.iterator import ended_early
from raybatch.loader.loader import Loader
from raybatch.notices import tell
from raybatch.sources.batch import Batch


class _Held(NamedTuple):
    """A prepared batch, or the error instead; `position` is the loader's state before it."""

    position: dict[str, Any] | None
    made: Any


class AheadLoader:
    """The epochs of `loader`, with up to `ahead` batches prepared before the caller asks for them.

    A batch is prepared by `prepare(batch)`, and the caller gets `hand_over(prepared)`. A state
    counts the batches that the caller has received, not those that were prepared. With `ahead`
    above 0, the loader's shuffle must have a state.
    """

    def __init__(
        self,
        loader: Loader,
        prepare: Callable[[Batch], Any],
        hand_over: Callable[[Any], Any],
        ahead: int,
    ) -> None:
        if not isinstance(loader, Loader):
            raise TypeError(f"loader must be a raybatch.Loader, not {type(loader)}")
        self.loader = loader
        self.prepare = prepare
        self.hand_over = hand_over
        self.ahead = ahead
        # The caller's position, if the loader is further ahead.
        self.position: dict[str, Any] | None = None
        # Weak, so that the batches prepared for a loop are freed as soon as the loop is left.
        self._iterator: weakref.ref[_AheadIterator] | None = None
        # The last number that was given to `set_epoch`, and the epoch that the number 0 means.
        self._told: int | None = None
        self._epoch_0 = 0
        # Whether a loop or `set_epoch` has moved the position since the last state was loaded.
        self.has_moved = False

    def __len__(self) -> int:
        """Return the number of batches of the current epoch for this rank.

        TypeError if the epoch is endless.
        """
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self._close_iterator()
        if self._told is not None and not self.has_moved:
            self._epoch_0 = self.loader.epoch - self._told
        iterator = _AheadIterator(self)
        self.position = None
        self._iterator = weakref.ref(iterator)
        return iterator

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's state after the last batch that the caller has received."""
        return self.loader.state_dict() if self.position is None else self.position

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where the loader that gave `state` was; see `Loader.load_state_dict`."""
        self._close_iterator()
        self.loader.load_state_dict(state)
        self.position, self.has_moved, self._epoch_0 = None, False, 0

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the epoch of the next iteration, from its first batch.

        After a state was loaded, here or into the loader, the same number or a lower one does not
        move the loader. It continues where the state says, and later numbers count from that epoch.
        The reason is that frameworks such as Accelerate count from 0 in each process, and pass the
        number of finished loops. `loader.set_epoch` takes every number as it is.
        """
        self._told = int_between("epoch", epoch, 0)
        number = self._told + self._epoch_0
        self._close_iterator()
        if not self.has_moved and number < self.loader.epoch:
            return
        self.has_moved |= number != self.loader.epoch
        left_after = self.loader.batches_received if self.has_moved else 0
        if left_after and number == self.loader.epoch - 1:
            batches = counted(left_after, "batch", "batches")
            tell(
                f"epoch {number} starts again, because set_epoch({epoch}) was called again; the"
                f" last loop left it after {batches}. If every loop stops there, the"
                " rest is never seen. With Loader(batches_per_epoch=), an epoch ends there, and"
                " the next one continues",
                "an epoch begins again",
            )
        self.loader.set_epoch(number)
        self.position = None

    def skip(self, batches: int) -> None:
        """Skip the next `batches` batches; see `Loader.skip`."""
        self._close_iterator()
        self.loader.skip(batches)
        self.position = None

    def _close_iterator(self) -> None:
        iterator = None if self._iterator is None else self._iterator()
        if iterator is not None:
            iterator.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_iterator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.position is not None:
            self.load_state_dict(self.position)


class _AheadIterator:
    def __init__(self, owner: AheadLoader) -> None:
        self._owner = owner
        self._held: deque[_Held] = deque()
        self._is_over = self._ended_early = False
        self._batches = iter(owner.loader)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._ended_early:
            raise ended_early("another iter() was called, or a state was loaded")
        while len(self._held) <= self._owner.ahead and self._goes_on():
            self._hold()
        if not self._held:
            raise StopIteration
        made, self._owner.has_moved = self._held.popleft().made, True
        self._owner.position = self._held[0].position if self._held else None
        if isinstance(made, Exception):
            raise made
        return self._owner.hand_over(made)

    def _goes_on(self) -> bool:
        # The caller gets the error before the loader is asked for anything more.
        failed = self._held and isinstance(self._held[-1].made, Exception)
        return not self._is_over and not failed

    def _hold(self) -> None:
        owner = self._owner
        position = owner.loader.state_dict() if owner.ahead else None
        try:
            made = owner.prepare(next(self._batches))
        except StopIteration:
            self._is_over = True
        except Exception as error:
            self._held.append(_Held(position, error))
        else:
            self._held.append(_Held(position, made))

    def close(self) -> None:
        """Leave the epoch, and free the batches that were prepared for it."""
        if self._held:  # otherwise the loader's own iterator knows how the loop ended
            self._is_over = self._ended_early = True
            self._batches = iter(())
            self._held.clear()

    def __del__(self) -> None:
        self.close()


def as_it_is(batch: Any) -> Any:
    """Return `batch`, for which nothing is left to do when it is handed over."""
    return batch
