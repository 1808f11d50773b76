"""PyTorch's DataLoader with Ray actors as its workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import IterableDataset

from raybatch.adapters.torch.actor_context import ActorContext
from raybatch.adapters.torch.data_loader_iterators import InLineIterator, PoolIterator
from raybatch.adapters.torch.resuming import Course
from raybatch.adapters.torch.team import Team, size_of
from raybatch.checks import integer
from raybatch.loader.loader import Loader
from raybatch.notices import tell
from raybatch.pools.pool import WorkerPool

_NO_CONTEXT = (
    "multiprocessing_context has no effect on raybatch's DataLoader, whose workers are Ray actors"
)

# The attributes that do not decide which batches a loader has.
_SAME = (
    *(
        "num_workers",
        "collate_fn",
        "pin_memory",
        "timeout",
        "worker_init_fn",
        "multiprocessing_context",
    ),
    *("generator", "prefetch_factor", "persistent_workers"),
)


class DataLoader(torch.utils.data.DataLoader):  # type: ignore[misc] # torch may be missing where types are checked
    """`torch.utils.data.DataLoader` with its arguments, defaults and batches, on Ray actors.

    With `num_workers` above 0, that many actors read and collate the samples. They run on the Ray
    that the program has started, on the one at RAY_ADDRESS, or on one that this loader starts on
    this machine. They start at the first `iter()`. They stay until the loader is closed or
    collected, even without `persistent_workers`, since starting Ray takes seconds. A data set that
    has changed is sent again. With `num_workers=0` and no pool, PyTorch's own loader does the work
    in this process.

    A worker that dies is replaced, and its batches are made again. An error in the data set is
    raised as it is, with the worker's traceback as its cause. Samplers run in this process, and
    draw the same numbers as in PyTorch's loader. Tensors lie in Ray's object store and are
    writable; a program that keeps many batches fills the store. In an actor, tensors in the
    attributes of the data set are copies, and NumPy arrays are shared and read-only.

    `state_dict()` and `load_state_dict()` work as in torchdata's StatefulDataLoader. A loader with
    a loaded state continues with the next batch, with any number of workers. Accelerate makes a new
    loader from each loader that it prepares; see `on_actors`.

    The arguments are PyTorch's, with these differences.

    Args:
        pool: Any pool of raybatch, which several loaders may share.
        worker_init_fn: It is called once in each actor for each data set that the actor receives.
            An actor that replaces a lost one may have the same id as another actor.
        multiprocessing_context: It is checked as in PyTorch, but has no effect.
        in_order: It has no effect: batches always come in order.

    TypeError for an iterable data set; other errors are those of PyTorch's loader.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        pool: WorkerPool | None = None,
    ) -> None:
        if isinstance(dataset, Loader):
            raise TypeError(
                "a Loader gives batches already: use to_torch(loader) instead of a DataLoader"
            )
        if isinstance(dataset, IterableDataset):
            raise TypeError(
                f"{type(dataset).__name__} is an iterable data set, but raybatch needs a map-style"
                " one, whose samples have an index. Give it `__len__` and `__getitem__(index)`, or"
                " use PyTorch's DataLoader for it"
            )
        if pool is not None and not isinstance(pool, WorkerPool):
            raise TypeError(f"pool must be a raybatch pool, not {pool!r}")
        # A framework may make a new loader from the attributes of this one, and passes its context
        # on.
        is_copy = isinstance(multiprocessing_context, ActorContext)
        self.pool = multiprocessing_context.team.given_pool if is_copy else pool
        # Configurations often hold NumPy integers. One would end up in a seed, and `random` refuses
        # it.
        num_workers = integer("num_workers", num_workers) or size_of(pool)
        super().__init__(
            dataset,
            batch_size,
            shuffle,
            sampler,
            batch_sampler,
            num_workers,
            collate_fn,
            pin_memory,
            drop_last,
            timeout,
            worker_init_fn,
            multiprocessing_context,
            generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
        )
        self.in_order = in_order  # PyTorch has it since 2.6
        self._course = Course()
        self._team: Team | None = None
        if is_copy:
            self._team = multiprocessing_context.team
        elif num_workers:
            if multiprocessing_context is not None:
                tell(_NO_CONTEXT)
            self._team_up()

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loop. JSON can hold it if it can hold the sampler's state.

        The dict has the number of batches received, the state of the generators when the epoch
        began, and the state of a sampler that has `state_dict()`.
        """
        return self._course.state(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next `iter()` continue where the loader that gave `state` was.

        The batches of this epoch that follow are the same if the data set and the sampler are.
        Later epochs also need a `generator`, or PyTorch's global state. StateError if the state
        does not fit this loader.
        """
        self._iterator = None
        self._course.load(self, state)

    def close(self) -> None:
        """Release the actors, which end if they belong to this loader alone.

        The next `iter()` starts new ones.
        """
        self._iterator = None
        if self._team is not None:
            self._team_up()

    def check_worker_number_rationality(self) -> None:
        """Warn, as PyTorch does, if there are more workers than CPUs here.

        The workers of a pool may run elsewhere, so a loader with a pool does not warn.
        """
        if self.pool is None:
            super().check_worker_number_rationality()

    def _get_iterator(self) -> Any:
        if self._team is None:
            return InLineIterator(self)
        self.check_worker_number_rationality()
        return PoolIterator(self, self._team)

    def _team_up(self) -> None:
        self._team = Team(self.pool, self.num_workers)
        self.multiprocessing_context = ActorContext(self._team)

    def __getstate__(self) -> dict[str, Any]:
        left_out = {"_iterator": None, "_team": None, "_DataLoader__multiprocessing_context": None}
        return {**self.__dict__, **left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.num_workers:
            self._team_up()


def on_actors(prepared: Any) -> Any:
    """Let Ray actors make the batches of `prepared`, and return it.

    `prepared` is what `Accelerator.prepare` returned for a raybatch `DataLoader` with workers.
    Accelerate's sharding and device placement stay as they are. TypeError for any other loader.
    """
    plain: Any = getattr(prepared, "base_dataloader", None)
    if not isinstance(getattr(plain, "multiprocessing_context", None), ActorContext):
        raise TypeError(
            "on_actors takes the result of Accelerate's `prepare` for a raybatch DataLoader with"
            f" workers, not {prepared!r}"
        )
    if plain.batch_sampler is None:
        order = {"batch_size": None, "sampler": plain.sampler}
    else:
        order = {"batch_sampler": plain.batch_sampler}
    same = {name: getattr(plain, name) for name in _SAME}
    prepared.base_dataloader = DataLoader(plain.dataset, **order, **same)
    return prepared
