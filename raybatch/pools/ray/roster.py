"""Which actors a pool has: those of its own, or those of a pool that has a name, which it shares."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from typing import Any, Protocol

import ray

from raybatch.pools.ray.actors import RayActor, starter
from raybatch.pools.ray.hosts import ActorOptions, Capacity


class Roster(Protocol):
    """The list of the actors, which starts and ends them.

    `user` is who uses them here; the keys of constants begin with it. They may have other users if
    it `is_shared`.
    """

    is_shared: bool
    user: str

    def fill_up(self, found: Capacity, num_staying: int | None) -> tuple[int, dict[int, Any]]:
        """Return how many actors there are to be on the hosts `found`, and the handles of new ones by number.

        `num_staying` are known and go on; None: it is too early to start others. Those that are
        known may be among the new.
        """
        ...

    def retire(self, actor: RayActor) -> None:
        """Take note that another is to start in the place of `actor`, which stays for as long as it is busy."""
        ...

    def end(self, actor: RayActor) -> None:
        """End `actor`, which is of no more use here."""
        ...

    def close(self, actors: Iterable[RayActor]) -> None:
        """Let go of all `actors`."""
        ...


class PrivateRoster:
    """A `Roster` of actors that end with the pool."""

    is_shared = False

    def __init__(self, options: ActorOptions) -> None:
        self.user = uuid.uuid4().hex
        self._num_actors = options.num_actors
        self._start = starter(options)
        self._numbers = itertools.count()

    def fill_up(self, found: Capacity, num_staying: int | None) -> tuple[int, dict[int, Any]]:
        size = self._num_actors or found.room
        missing = 0 if num_staying is None else size - num_staying
        numbers = itertools.islice(self._numbers, max(0, missing))
        return size, {number: self._start(number) for number in numbers}

    def retire(self, actor: RayActor) -> None:
        """Do nothing: one that leaves does not count as staying."""

    def end(self, actor: RayActor) -> None:
        ray.kill(actor.handle)

    def close(self, actors: Iterable[RayActor]) -> None:
        for actor in actors:
            self.end(actor)
