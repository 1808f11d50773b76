"""The pool of Ray actors, on this machine or on the hosts of a cluster."""

from __future__ import annotations

import functools
import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybatch.checks import counted, positive_int
from raybatch.making.request import Request, Result
from raybatch.notices import say
from raybatch.pools.pool import WorkerPool
from raybatch.pools.ray.actor_session import RaySession
from raybatch.pools.ray.connection import RayConnection
from raybatch.pools.ray.constants import RayConstant
from raybatch.pools.ray.crew import Crew
from raybatch.pools.ray.hosts import SPREAD, ActorOptions, answers, capacity, is_only_host
from raybatch.pools.ray.keeper import SharedRoster
from raybatch.pools.ray.metrics import RayMetrics
from raybatch.pools.ray.packed_error import with_error_unpacked
from raybatch.pools.ray.program import Program
from raybatch.pools.ray.roster import PrivateRoster
from raybatch.pools.ray.trial_group import in_own_group
from raybatch.pools.ray.unpicklable import unpicklable
from raybatch.scheduling.settings import Prefetch

_log = logging.getLogger(__name__)

_NOT_SHARED_WARNING = (
    "the pool {!r} runs on a Ray that this process started for itself, so no other process can "
    "share it: another process with a pool of that name starts its own Ray and actors. To share "
    "the pool, start one Ray (`ray start --head`), and set RAY_ADDRESS=auto or address="
)

Pool = TypeVar("Pool", bound="RayActorPool")


class RayActorPool(WorkerPool):
    """Makes batches in Ray actors. Each actor makes one batch at a time.

    The actors end when the pool is closed, its `with` block is left, or its last reference is gone.
    A loader holds a reference to its pool.

    If this process runs inside a placement group that captures child tasks, for example the group
    of a Ray Tune trial, the actors start in the bundles of that group. If the bundles have no room,
    or the pool has a name, they start outside. When Ray drains a host, its actors get no more
    batches, and the pool replaces them the next time it is used.

    Actors take over Pillow's settings, the warning filters and reloaded modules of the program when
    an iteration begins; on a Ray that the pool started, also `sys.path` and changes to
    `os.environ`.

    Args:
        num_actors: The number of actors. None: as many as the hosts have room for, adjusted as
            hosts join and leave the cluster.
        threads_per_actor: The number of threads on which an actor makes the rows of a batch.
        num_cpus_per_actor: The CPUs that each actor requests from Ray.
        resources: Ray's custom resources that each actor requests, by name.
        label_selector: The labels that an actor's host must have, such as `{"role": "loader"}` or
            `{"ray.io/node-id": "!" + node_id}`.
        scheduling_strategy: A scheduling strategy of Ray. The default spreads the actors over the
            hosts; any other one needs `num_actors`.
        address: The address of the Ray cluster to join. None: the Ray that this process is already
            connected to, or else the cluster that the environment variable RAY_ADDRESS names, or
            else a new Ray on this machine, which ends with the pool.
        start_timeout_s: How long to wait for Ray and for the first actor. If Ray does not answer in
            time, the constructor raises PoolError. If no actor is up in time, iterating raises
            PoolError.
        name: The name of a pool that processes of the cluster share. Each process that makes a pool
            of this name gets the same actors, with the settings of the first such pool. The actors
            end when the last of these pools is closed or its process has ended.
        setup: A function without arguments that each actor calls once, before it gets a source: to
            register a decoder with Pillow, limit the threads of a library, or set a seed. If it
            raises, iterating raises PoolError.
    """

    def __init__(
        self,
        num_actors: int | None = None,
        *,
        threads_per_actor: int = 1,
        num_cpus_per_actor: float = 1,
        resources: dict[str, float] | None = None,
        label_selector: dict[str, str] | None = None,
        scheduling_strategy: Any = SPREAD,
        address: str | None = None,
        start_timeout_s: float = 60.0,
        name: str | None = None,
        setup: Callable[[], object] | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        if num_actors is not None:
            num_actors = positive_int("num_actors", num_actors)
        threads_per_actor = positive_int("threads_per_actor", threads_per_actor)
        if num_actors is None and scheduling_strategy != SPREAD:
            raise ValueError(
                f"set num_actors with scheduling_strategy={scheduling_strategy!r}: the pool cannot "
                "know how many actors this strategy can place"
            )
        if not start_timeout_s > 0:
            raise ValueError(f"start_timeout_s must be above 0, not {start_timeout_s}")
        options = ActorOptions(
            num_actors,
            threads_per_actor,
            num_cpus_per_actor,
            dict(resources or {}),
            dict(label_selector or {}),
            setup=_pickled_setup(setup),
        )
        connection = RayConnection(address, start_timeout_s)
        try:
            strategy = self._scheduling_strategy(scheduling_strategy)
            program = Program.here(connection.environ_at_start)
            options = replace(options, scheduling_strategy=strategy, program=program)
            if name is None:
                options = in_own_group(options)
            if connection.is_own_cluster:
                # Nobody else uses a Ray that this pool started, so its CPU count need not limit the
                # actors.
                num_actors = num_actors or capacity(options).room
                options = replace(options, num_actors=num_actors, num_cpus=0)
                if name is not None:
                    say(_log, _NOT_SHARED_WARNING.format(name))
            roster = PrivateRoster(options) if name is None else SharedRoster(name, options)
            self._crew = Crew(connection, roster, options, start_timeout_s)
        except BaseException:
            connection.release()
            raise
        self._connection = connection
        self._end = weakref.finalize(self, _end, self._crew, connection)
        _log.info(
            "started a pool of %d actors", self.num_actors, extra={"num_actors": self.num_actors}
        )

    def __repr__(self) -> str:
        name = self._arguments["name"]
        given = f", name={name!r}" if name else ""
        return f"{type(self).__name__}({counted(self.num_actors, 'actor')}{given})"

    def open(self, source: Any) -> RaySession:
        """Open a session as `WorkerPool.open` does; resend a shared constant that has changed."""
        if isinstance(source, RayConstant):
            source.renew(self._program())
        else:
            source = self.shared_constant(source)
        return RaySession(self, self._crew, source)

    def shared_constant(self, x: Any) -> RayConstant:
        """Put `x` into the object store and return a handle. Each actor gets `x` once."""
        self._crew.check_open()
        return RayConstant(x, self._program(), self._crew.roster.user, self._crew.forget)

    def differs_from_here(self) -> bool:
        """Return whether actors may have files, libraries or settings that this process lacks.

        They may if they run on other hosts, in a runtime environment, or after a `setup`.
        """
        is_set_up = self._arguments["setup"] is not None or ray.get_runtime_context().runtime_env
        return bool(is_set_up) or not is_only_host()

    def is_current(self, constant: RayConstant) -> bool:
        return constant.is_current(self._program())

    def metrics(self, name: str) -> RayMetrics:
        return RayMetrics(name)

    @property
    def num_actors(self) -> int:
        """The number of actors, including those that are still starting."""
        return self._crew.size

    def default_prefetch(self) -> Prefetch:
        return Prefetch.for_workers(self.num_actors, self._crew.store.stream_bytes or None)

    def wait_until_up(self: Pool) -> Pool:
        """Wait until every actor is up, and return the pool; PoolError after `start_timeout_s`.

        This is optional: batches are made as soon as the first actor is up.
        """
        self._crew.wait_until_up()
        return self

    def close(self) -> None:
        """End the actors, and the Ray if the pool started it."""
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self._arguments), ()

    spans_hosts = True

    def on_each_host(self, source: Any, request: Request) -> dict[str, Result]:
        """Make `request` on one worker of each host; return the results by the host's address.

        A host that does not answer in time is logged and left out.
        """
        constant, crew = self.shared_constant(source), self._crew
        with crew.lock:
            actors = {actor.facts.host: actor for actor in reversed([*crew.workers]) if actor.facts}
            refs = {host: actor.make(constant, request) for host, actor in actors.items()}
            for host, actor in actors.items():
                crew.workers.took_up(actor, refs[host], time.monotonic())
        made = answers(refs)
        with crew.lock:
            for host, actor in actors.items():
                crew.workers.answered(actor, refs[host], time.monotonic())
        silent = sorted(host for host, answer in made.items() if isinstance(answer, RayError))
        if silent:
            _log.warning("these hosts did not answer: %s", ", ".join(silent))
        return {host: with_error_unpacked(made[host][0]) for host in made if host not in silent}

    def _program(self) -> Program:
        return Program.here(self._connection.environ_at_start)

    def _scheduling_strategy(self, given: Any) -> Any:
        return given


def _pickled_setup(setup: Callable[[], object] | None) -> bytes | None:
    if setup is None:
        return None
    if not callable(setup):
        raise TypeError(f"setup must be a function without arguments, not {setup!r}")
    try:
        return bytes(cloudpickle.dumps(setup))
    except Exception as error:
        raise unpicklable("setup", setup, error) from None


def on_this_host() -> Any:
    """Return a strategy that places actors on the host of this process. Ray must be running."""
    this_node = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(this_node, soft=False)


def _end(crew: Crew, connection: RayConnection) -> None:
    _log.info("ended a pool of %d actors", crew.size, extra={"num_actors": crew.size})
    try:
        crew.close()
    finally:
        connection.release()
