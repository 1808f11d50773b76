"""Ray actors as workers, on this machine or all over a cluster."""

from __future__ import annotations

import functools
import logging
import operator
import uuid
import weakref
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybatch.making import Request, Result
from raybatch.pools.pool import WorkerPool
from raybatch.pools.ray.actor_session import RaySession
from raybatch.pools.ray.capacity import SPREAD, ActorOptions, capacity
from raybatch.pools.ray.connection import RayConnection
from raybatch.pools.ray.keeper import SharedRayTeam
from raybatch.pools.ray.metrics import RayMetrics
from raybatch.pools.ray.team import RayTeam
from raybatch.pools.ray.worker import RayConstant
from raybatch.scheduling import Prefetch

_log = logging.getLogger(__name__)


class RayActorPool(WorkerPool):
    """Makes batches in `num_actors` Ray actors.

    None stands for as many as the hosts of the cluster have room for; it follows hosts that join and leave. The
    pool joins the cluster at `address`, or in the environment's RAY_ADDRESS; uses a Ray that the program has started; and
    otherwise starts one on this machine that ends with the pool. Each actor makes one batch at a time, its
    rows on `threads_per_actor` threads. Where Ray cannot start a single actor within `start_timeout_s` seconds,
    iterating raises PoolError.

    Each actor asks Ray for `num_cpus_per_actor` CPUs and for `resources`, on a host whose labels are those of
    `label_selector`, such as `{"role": "loader"}` or `{"ray.io/node-id": "!" + node_id}` (Ray 2.49 or later).
    They are spread over the hosts, or placed by another `scheduling_strategy` of Ray's, for which `num_actors`
    must be given. The actors of a host that is drained get no more batches, and others take their place, as soon as the
    pool is used.

    Close the pool, use it in a `with`, or let go of it: the actors end with it. Loaders that use it keep it.
    With a `name` it is one pool of the cluster: whoever makes a pool of that name gets the same actors, with
    the settings of the first, and they end when the last of them is closed or its process gone.
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
    ) -> None:
        if num_actors is not None:
            num_actors = _check_count("num_actors", num_actors)
        threads_per_actor = _check_count("threads_per_actor", threads_per_actor)
        if num_actors is None and scheduling_strategy != SPREAD:
            raise ValueError(
                f"num_actors must be given where scheduling_strategy is {scheduling_strategy!r}: how many it has "
                "room for is not known"
            )
        if not start_timeout_s > 0:
            raise ValueError(f"start_timeout_s must be above 0, not {start_timeout_s}")
        self._arguments: dict[str, Any] = {
            "num_actors": num_actors,
            "threads_per_actor": threads_per_actor,
            "num_cpus_per_actor": num_cpus_per_actor,
            "resources": resources,
            "label_selector": label_selector,
            "scheduling_strategy": scheduling_strategy,
            "address": address,
            "start_timeout_s": start_timeout_s,
            "name": name,
        }
        options = ActorOptions(
            num_cpus_per_actor, dict(resources or {}), dict(label_selector or {})
        )
        connection = RayConnection(address)
        try:
            strategy = self._scheduling_strategy(scheduling_strategy)
            options = replace(options, scheduling_strategy=strategy)
            if connection.is_own_cluster:
                # A Ray of our own serves nobody else, so its CPU count need not limit the actors.
                num_actors = num_actors or capacity(options).num_actors
                options = replace(options, num_cpus=0)
            arguments = (connection, num_actors, threads_per_actor, options, start_timeout_s)
            self._team = RayTeam(*arguments) if name is None else SharedRayTeam(*arguments, name)
        except BaseException:
            connection.release()
            raise
        self._end = weakref.finalize(self, _end, self._team, connection)
        _log.info(
            "a pool of %d actors is started", self.num_actors, extra={"num_actors": self.num_actors}
        )

    def open(self, source: Any) -> RaySession:
        constant = source if isinstance(source, RayConstant) else self.shared_constant(source)
        return RaySession(self, self._team, constant)

    def shared_constant(self, x: Any) -> RayConstant:
        """Put `x` into the object store, from which each actor gets it once."""
        self._team.check_open()
        constant = RayConstant(x, key=f"{self._team.user}.{uuid.uuid4().hex}")
        weakref.finalize(constant, self._team.forget, constant.key).atexit = False
        return constant

    def metrics(self, name: str) -> RayMetrics:
        return RayMetrics(name)

    @property
    def num_actors(self) -> int:
        """How many actors there are, or are to be when those that start are up."""
        return self._team.size

    def default_prefetch(self) -> Prefetch:
        return Prefetch(2 * self.num_actors + 2, self._team.stream_bytes or None)

    def wait_until_up(self) -> RayActorPool:
        """Wait until every actor is up, and return the pool; PoolError after `start_timeout_s`.

        There is no need to: batches are made as soon as the first actor is up.
        """
        self._team.wait_until_up()
        return self

    def close(self) -> None:
        """End the actors, and the Ray that the pool started."""
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self._arguments), ()

    spans_hosts = True

    def on_each_host(self, source: Any, request: Request) -> dict[str, Result]:
        return self._team.on_each_host(self.shared_constant(source), request)

    def _scheduling_strategy(self, given: Any) -> Any:
        return given


def on_this_host() -> Any:
    """Return the scheduling strategy that places actors on the host of this process; Ray must have been started."""
    this_node = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(this_node, soft=False)


def _check_count(name: str, value: Any) -> int:
    count = operator.index(value)
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return count


def _end(team: RayTeam, connection: RayConnection) -> None:
    _log.info("a pool of %d actors is ended", team.size, extra={"num_actors": team.size})
    try:
        team.close()
    finally:
        connection.release()
