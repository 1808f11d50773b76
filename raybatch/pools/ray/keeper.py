"""A named pool, which several processes share. An actor, the keeper, keeps its workers running.

    user ──lease()─────► keeper     a call that returns when the user leaves
    user ──join(lease)─► keeper     returns the workers; then the keeper waits for the lease to end

A user is a process with a pool of this name. Its lease ends when it leaves, and also when it dies:
it owns the reference to the result of `lease`, and Ray reports the death of an owner to everyone
who waits for the reference. So no timeout is needed. When the last user is gone, the keeper ends
the workers and itself. The keeper is a detached actor, so it does not end with the process that
started it. Users can have different settings, so the keeper alone decides the number of workers.
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

# A keeper can end just when a process joins. Then the process tries again with a new keeper.
_MAX_JOIN_ATTEMPTS = 5

# If the keeper does not answer within this time, it is asked again later.
_KEEPER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class RosterState:
    """The workers of a keeper by number, how many it wants, and its version of raybatch."""

    size: int
    actors: dict[int, Any]
    version: str


class PoolKeeper:
    """The class of the keeper."""

    def __init__(self, options: ActorOptions) -> None:
        self._options = options
        self._start = starter(options)
        self._next_number = 0
        self._actors: dict[int, Any] = {}
        # Retired workers, each with the users that may still wait for its batches.
        self._retired: dict[int, tuple[Any, set[str]]] = {}
        self._users: dict[str, asyncio.Event] = {}
        self._watches: set[asyncio.Task[None]] = set()

    async def lease(self, user: str) -> None:
        """Return when `user` leaves."""
        await self._users.setdefault(user, asyncio.Event()).wait()

    async def join(self, user: str, lease: list[Any]) -> RosterState:
        """Return the workers, and keep them until the one reference in `lease` ends."""
        self._users.setdefault(user, asyncio.Event())
        watch = asyncio.create_task(self._watch(user, lease[0]))
        self._watches.add(watch)
        return await self.fill_up()

    async def leave(self, user: str) -> None:
        """End the lease of `user`."""
        if user in self._users:
            self._users[user].set()

    async def end(self, number: int) -> None:
        """End worker `number`, unless it has ended already for another user."""
        actor = self._actors.pop(number, None)
        if actor is not None:
            ray.kill(actor)

    async def retire(self, number: int) -> None:
        """Stop counting worker `number`, whose host is leaving; users may wait for its batches."""
        if number in self._actors:
            self._retired[number] = self._actors.pop(number), set(self._users)

    async def done_with(self, user: str, number: int) -> None:
        """Record that `user` no longer waits for worker `number`, which has retired."""
        if number in self._retired:
            actor, users = self._retired[number]
            users.discard(user)
            if not users:
                del self._retired[number]
                ray.kill(actor)

    async def fill_up(self) -> RosterState:
        """Start the missing workers; return all of them."""
        size = self._options.num_actors or capacity(self._options).room
        while len(self._actors) < size:
            self._actors[self._next_number] = self._start(self._next_number)
            self._next_number += 1
        return RosterState(size, self._actors, own_version())

    async def _watch(self, user: str, lease: Any) -> None:
        with contextlib.suppress(ray_errors.RayError):  # raised when the user's process is gone
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
    """A `Roster` of the workers of the pool `name`. It does not know other users' attempts."""

    is_shared = True

    def __init__(self, name: str, options: ActorOptions) -> None:
        self._name = name
        self._keeper: Any = None
        self._size = self._join(options)

    def fill_up(self, found: Capacity, num_staying: int | None) -> tuple[int, dict[int, Any]]:
        """Return the keeper's workers. The keeper starts missing ones, by its view of the hosts."""
        actors = {}
        try:
            state: RosterState = ray.get(self._keeper.fill_up.remote(), timeout=_KEEPER_TIMEOUT_S)
            self._size, actors = state.size, state.actors
        except (ray_errors.GetTimeoutError, ray_errors.ActorUnavailableError):
            pass  # ask again later
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
        """Join the pool, or start it if there is none; return how many workers the pool wants."""
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
                    # On the head node: if a user's host ran the keeper and was lost, all users
                    # would lose their workers. The cluster ends with its head node anyway.
                    resources={"node:__internal_head__": 0.001},
                    # Outside any placement group: the keeper serves others and outlives its
                    # creator.
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
                    f"the pool {self._name!r} runs raybatch {state.version}, but this process has "
                    f"{own_version()}: install the same version on both sides, or use another name"
                )
            return state.size
        raise PoolError(
            f"cannot join the pool {self._name!r}, which ended at each of {_MAX_JOIN_ATTEMPTS} "
            f"attempts: {why_not_started(why)}"
        ) from why
