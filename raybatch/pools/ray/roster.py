"""The list of a pool's actors: its own, or those of a named pool, which it shares."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from typing import Any, Protocol

import ray

from raybatch.pools.ray.actors import RayActor, starter
from raybatch.pools.ray.hosts import ActorOptions, Capacity


class Roster(Protocol):
    """Lists, starts and ends actors.

    `user` is a unique name for this pool object; the keys of its constants begin with it.
    `is_shared` is true if the actors can have other users.
    """

    is_shared: bool
    user: str

    def fill_up(self, found: Capacity, num_staying: int | None) -> tuple[int, dict[int, Any]]:
        """Start missing actors; return how many there should be, and handles of actors by number.

        `found` is the capacity of the hosts. `num_staying` is the number of actors that the caller
        has and keeps; None if it is too early to start new ones. The handles include all new
        actors, and perhaps others.
        """
        ...

    def retire(self, actor: RayActor) -> None:
        """Stop counting `actor`, so that a new one starts. It stays up while it is busy."""
        ...

    def end(self, actor: RayActor) -> None:
        """End `actor`, which this process no longer needs."""
        ...

    def close(self, actors: Iterable[RayActor]) -> None:
        """Stop using all `actors`; end those that nobody else uses."""
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
        """Do nothing: `num_staying` does not count an actor on a leaving host."""

    def end(self, actor: RayActor) -> None:
        ray.kill(actor.handle)

    def close(self, actors: Iterable[RayActor]) -> None:
        for actor in actors:
            self.end(actor)
