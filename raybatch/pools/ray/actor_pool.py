"""Ray actors as workers, on this machine or all over a cluster."""

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

from raybatch.checks import positive_int
from raybatch.making import Request, Result
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
from raybatch.scheduling import Prefetch

_log = logging.getLogger(__name__)

_SHARED_WITH_NOBODY = (
    "the pool {!r} is on a Ray that this process started for itself, so no other process shares it: one that makes a pool "
    "of that name has a Ray and actors of its own. To share it, start one Ray (`ray start --head`), and set "
    "RAY_ADDRESS=auto or give address="
)

Pool = TypeVar("Pool", bound="RayActorPool")


class RayActorPool(WorkerPool):
    """Makes batches in `num_actors` Ray actors.

    None stands for as many as the hosts of the cluster have room for; it follows hosts that join and leave. The
    pool joins the cluster at `address`, or in the environment's RAY_ADDRESS; uses a Ray that the program has started; and
    otherwise starts one on this machine that ends with the pool. Each actor makes one batch at a time, its
    rows on `threads_per_actor` threads. Where no Ray answers at the address within `start_timeout_s` seconds, that is
    PoolError; where Ray cannot start a single actor within as many, iterating raises it.

    Each actor asks Ray for `num_cpus_per_actor` CPUs and for `resources`, on a host whose labels are those of
    `label_selector`, such as `{"role": "loader"}` or `{"ray.io/node-id": "!" + node_id}`.
    They are spread over the hosts, or placed by another `scheduling_strategy` of Ray's, for which `num_actors`
    must be given. In a placement group that takes in what its members start, such as that of a trial of Ray Tune, they
    use its bundles if these have room, and else start outside of it, as a pool with a name does. The actors of a host that is drained get no more batches, and others take their place, as soon as the
    pool is used.

    `setup` is a function without arguments that each actor calls once, before it gets a source: to register a decoder with Pillow, limit the
    threads of a library, or set a seed. If it raises, iterating raises PoolError. Pillow's settings, the filters of warnings and reloaded modules reach actors
    without it, when an iteration begins; on a Ray that the pool started, `sys.path` and changes of `os.environ` too.

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
        setup: Callable[[], object] | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        if num_actors is not None:
            num_actors = positive_int("num_actors", num_actors)
        threads_per_actor = positive_int("threads_per_actor", threads_per_actor)
        if num_actors is None and scheduling_strategy != SPREAD:
            raise ValueError(
                f"num_actors must be given where scheduling_strategy is {scheduling_strategy!r}: how many it has "
                "room for is not known"
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
                # A Ray of our own serves nobody else, so its CPU count need not limit the actors.
                num_actors = num_actors or capacity(options).room
                options = replace(options, num_actors=num_actors, num_cpus=0)
                if name is not None:
                    say(_log, _SHARED_WITH_NOBODY.format(name))
            roster = PrivateRoster(options) if name is None else SharedRoster(name, options)
            self._crew = Crew(connection, roster, options, start_timeout_s)
        except BaseException:
            connection.release()
            raise
        self._connection = connection
        self._end = weakref.finalize(self, _end, self._crew, connection)
        _log.info(
            "a pool of %d actors is started", self.num_actors, extra={"num_actors": self.num_actors}
        )

    def __repr__(self) -> str:
        name = self._arguments["name"]
        return (
            f"{type(self).__name__}({self.num_actors} actors{f', name={name!r}' if name else ''})"
        )

    def open(self, source: Any) -> RaySession:
        """As `WorkerPool.open`; what has changed since a shared constant was made is sent again."""
        if isinstance(source, RayConstant):
            source.renew(self._program())
        else:
            source = self.shared_constant(source)
        return RaySession(self, self._crew, source)

    def shared_constant(self, x: Any) -> RayConstant:
        """Put `x` into the object store, from which each actor gets it once."""
        self._crew.check_open()
        return RayConstant(x, self._program(), self._crew.roster.user, self._crew.forget)

    def differs_from_here(self) -> bool:
        """Return whether actors may have what this process lacks: on other hosts, from a runtime environment or by `setup`."""
        is_set_up = self._arguments["setup"] is not None or ray.get_runtime_context().runtime_env
        return bool(is_set_up) or not is_only_host()

    def is_current(self, constant: RayConstant) -> bool:
        return constant.is_current(self._program())

    def metrics(self, name: str) -> RayMetrics:
        return RayMetrics(name)

    @property
    def num_actors(self) -> int:
        """How many actors there are, or are to be when those that start are up."""
        return self._crew.size

    def default_prefetch(self) -> Prefetch:
        return Prefetch.for_workers(self.num_actors, self._crew.store.stream_bytes or None)

    def wait_until_up(self: Pool) -> Pool:
        """Wait until every actor is up, and return the pool; PoolError after `start_timeout_s`.

        There is no need to: batches are made as soon as the first actor is up.
        """
        self._crew.wait_until_up()
        return self

    def close(self) -> None:
        """End the actors, and the Ray that the pool started."""
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self._arguments), ()

    spans_hosts = True

    def on_each_host(self, source: Any, request: Request) -> dict[str, Result]:
        """Return what a worker on each host makes of `request`, by the host's address.

        A host that gives no answer in time is left out, and logged.
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
            _log.warning("no answer came from the hosts %s", ", ".join(silent))
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
    """Return the scheduling strategy that places actors on the host of this process; Ray must have been started."""
    this_node = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(this_node, soft=False)


def _end(crew: Crew, connection: RayConnection) -> None:
    _log.info("a pool of %d actors is ended", crew.size, extra={"num_actors": crew.size})
    try:
        crew.close()
    finally:
        connection.release()
