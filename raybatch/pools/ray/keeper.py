"""A pool that has a name: an actor that keeps the workers for as long as somebody uses them.

    user ──lease()──► keeper     a call that does not return while the user stays
    user ──join(lease)──► keeper     the workers; from here on the keeper waits for the lease to end

The lease ends when the user leaves, and also when its process dies: the reference to the result of
`lease` is owned by the user, and Ray tells whoever waits for it that the owner is gone. No clock is
involved. When the last user has gone the keeper ends the workers and itself. It is detached, so it
does not end with the process that made it. How many workers there are to be is the keeper's to say:
users have different settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray
from ray import exceptions as ray_errors

from raybatch.errors import PoolError
from raybatch.pools.ray.actors import RayActor, starter
from raybatch.pools.ray.hosts import (
    SPREAD,
    ActorOptions,
    Capacity,
    capacity,
    own_version,
    why_not_started,
)

NAMESPACE = "raybatch"

# A keeper may be ending just when it is asked; then another one is made.
_MAX_JOIN_ATTEMPTS = 5

# A keeper that cannot be reached for so long is asked again later.
_KEEPER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class RosterState:
    """The actors that a keeper has, by number, how many there are to be, and the raybatch that they are of."""

    size: int
    actors: dict[int, Any]
    version: str


class PoolKeeper:
    """The class of the keeping actor."""

    def __init__(self, options: ActorOptions) -> None:
        self._options = options
        self._start = starter(options)
        self._next_number = 0
        self._actors: dict[int, Any] = {}
        # Each with the users that may still wait for its batches.
        self._retired: dict[int, tuple[Any, set[str]]] = {}
        self._users: dict[str, asyncio.Event] = {}
        self._watches: set[asyncio.Task[None]] = set()

    async def lease(self, user: str) -> None:
        """Return when `user` leaves."""
        await self._users.setdefault(user, asyncio.Event()).wait()

    async def join(self, user: str, lease: list[Any]) -> RosterState:
        """Return the workers, and keep them while the one reference in `lease` is open."""
        self._users.setdefault(user, asyncio.Event())
        watch = asyncio.create_task(self._watch(user, lease[0]))
        self._watches.add(watch)
        return await self.fill_up()

    async def leave(self, user: str) -> None:
        """End the lease of `user`."""
        if user in self._users:
            self._users[user].set()

    async def end(self, number: int) -> None:
        """End worker `number`, unless another user has said so before."""
        actor = self._actors.pop(number, None)
        if actor is not None:
            ray.kill(actor)

    async def retire(self, number: int) -> None:
        """Count no longer on worker `number`, whose host is to leave; its users may still wait for its batches."""
        if number in self._actors:
            self._retired[number] = self._actors.pop(number), set(self._users)

    async def done_with(self, user: str, number: int) -> None:
        """Take note that `user` waits for nothing more from worker `number`, which has retired."""
        if number in self._retired:
            actor, users = self._retired[number]
            users.discard(user)
            if not users:
                del self._retired[number]
                ray.kill(actor)

    async def fill_up(self) -> RosterState:
        """Start a worker for each that is missing; return all that there are."""
        size = self._options.num_actors or capacity(self._options).room
        while len(self._actors) < size:
            self._actors[self._next_number] = self._start(self._next_number)
            self._next_number += 1
        return RosterState(size, self._actors, own_version())

    async def _watch(self, user: str, lease: Any) -> None:
        with contextlib.suppress(ray_errors.RayError):  # it says so when the user's process is gone
            await lease
        del self._users[user]
        for number in list(self._retired):
            await self.done_with(user, number)
        for actor in self._actors.values():
            actor.forget_user.remote(user)
        if not self._users:
            for actor in self._actors.values():
                ray.kill(actor)
            ray.kill(ray.get_runtime_context().current_actor)


class SharedRoster:
    """A `Roster` of the workers of the pool `name`; another user's attempts are not seen."""

    is_shared = True

    def __init__(self, name: str, options: ActorOptions) -> None:
        self._name = name
        self._keeper: Any = None
        self._size = self._join(options)

    def fill_up(self, found: Capacity, num_staying: int | None) -> tuple[int, dict[int, Any]]:
        """Return what the keeper has, which starts those that are missing, and counts the hosts itself."""
        actors = {}
        try:
            state: RosterState = ray.get(self._keeper.fill_up.remote(), timeout=_KEEPER_TIMEOUT_S)
            self._size, actors = state.size, state.actors
        except (ray_errors.GetTimeoutError, ray_errors.ActorUnavailableError):
            pass  # it is asked again later
        except ray_errors.RayActorError as error:
            raise PoolError(f"the pool {self._name!r} has ended: {error}") from error
        return self._size, actors

    def retire(self, actor: RayActor) -> None:
        self._keeper.retire.remote(actor.number)

    def end(self, actor: RayActor) -> None:
        if actor.is_leaving and not actor.is_gone:
            self._keeper.done_with.remote(self.user, actor.number)
        else:
            self._keeper.end.remote(actor.number)

    def close(self, actors: Iterable[RayActor]) -> None:
        self._keeper.leave.remote(self.user)

    def _join(self, options: ActorOptions) -> int:
        """Become a user of the pool, which is made if there is none, and return how many actors it is to have."""
        for _ in range(_MAX_JOIN_ATTEMPTS):
            self._keeper = (
                ray.remote(PoolKeeper)
                .options(
                    name=self._name,
                    namespace=NAMESPACE,
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=0,
                    max_concurrency=1000,
                    # The cluster ends with its head anyway; no user's host is to take the others'
                    # workers with it.
                    resources={"node:__internal_head__": 0.001},
                    # It is in nobody's placement group: it outlives who made it, and serves others.
                    scheduling_strategy=SPREAD,
                )
                .remote(options)
            )
            self.user = uuid.uuid4().hex
            self._lease = self._keeper.lease.remote(self.user)
            try:
                state: RosterState = ray.get(self._keeper.join.remote(self.user, [self._lease]))
            except ray_errors.RayActorError as error:
                why = error
                continue
            if state.version != own_version():
                self._keeper.leave.remote(self.user)
                raise PoolError(
                    f"the pool {self._name!r} is one of raybatch {state.version}, and this process has {own_version()}: "
                    "install the same on both, or use another name"
                )
            return state.size
        raise PoolError(
            f"the pool {self._name!r} cannot be joined, it ended each time it was asked: {why_not_started(why)}"
        ) from why
