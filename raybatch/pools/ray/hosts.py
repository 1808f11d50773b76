"""The hosts of a cluster: their capacity, which of them are leaving, and calls on each of them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import cloudpickle
from ray import exceptions as ray_errors
from ray._private.state import state  # there is no public way to ask which nodes are drained
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybatch.errors import PoolError
from raybatch.faults import advice
from raybatch.pools.ray.connection import RayConnection
from raybatch.pools.ray.program import Program

# How long to wait for an answer when all hosts are asked.
ANSWER_TIMEOUT_S = 60.0

SPREAD = "SPREAD"


@dataclass(frozen=True)
class ActorOptions:
    """The number of actors (None: as many as there is room for), and the options of each.

    An actor makes the rows of a batch on `threads` threads. It requests `num_cpus` and `resources`
    from Ray. When it starts, it takes over the settings of `program` and calls the pickled function
    `setup`.
    """

    num_actors: int | None
    threads: int
    num_cpus: float
    resources: dict[str, float] = field(default_factory=dict)
    label_selector: dict[str, str] = field(default_factory=dict)
    # Ray's default strategy would fill one host before it uses the next.
    scheduling_strategy: Any = SPREAD
    program: Program = field(default_factory=Program)
    setup: bytes | None = None

    def __post_init__(self) -> None:
        if not self.num_cpus >= 0:
            raise ValueError(f"num_cpus_per_actor must be 0 or more, not {self.num_cpus}")
        for name, amount in self.resources.items():
            if name in ("CPU", "GPU", "memory"):
                raise ValueError(f"resources must be custom resources of Ray, not {name!r}")
            if not 0 < amount < float("inf"):
                raise ValueError(f"resources[{name!r}] must be above 0, not {amount}")
        for name, condition in self.label_selector.items():
            if not isinstance(condition, str):
                raise TypeError(f"label_selector[{name!r}] must be a str, not {condition!r}")
            # Ray's documentation writes `in(a, b)` with a space, but Ray treats it as part of the
            # label.
            self.label_selector[name] = condition.replace(" ", "")


@dataclass(frozen=True)
class Capacity:
    """The capacity of a cluster for actors and batches.

    `room` is the number of actors that fit the hosts that stay. `store_bytes` is the size of the
    smallest object store. `leaving` has the ids of the nodes that Ray drains: they shut down soon,
    and no actor starts there.
    """

    room: int
    store_bytes: int
    leaving: frozenset[str]


def capacity(options: ActorOptions) -> Capacity:
    """Return the capacity of the live hosts for actors with these options."""
    nodes = _live_nodes()
    leaving = frozenset(state.get_draining_nodes())
    hosts = [
        node["Resources"]
        for node in nodes
        if node["NodeID"] not in leaving and is_selected(node["Labels"], options.label_selector)
    ]
    # An actor that requests no CPU still uses one.
    demands = {"CPU": options.num_cpus or 1.0, **options.resources}
    actors = sum(
        min(int(host.get(name, 0.0) / amount) for name, amount in demands.items() if amount)
        for host in hosts
    )
    stores = filter(None, map(_store_bytes, nodes))
    return Capacity(max(1, actors), min(stores, default=0), leaving)


def is_only_host() -> bool:
    """Return whether the cluster has no host but this one."""
    return {node["NodeManagerAddress"] for node in _live_nodes()} == {address()}


def is_selected(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Return whether `selector` admits a node with `labels`, by Ray's rules.

    A condition is a value or `in(a, b)`, or one of them negated with `!`. A missing label fulfils a
    negated condition.
    """
    return all(_fulfils(labels.get(key), condition) for key, condition in selector.items())


def _fulfils(value: str | None, condition: str) -> bool:
    wanted = condition.removeprefix("!")
    several = re.fullmatch(r"in\((.*)\)", wanted)
    values = [wanted] if several is None else several[1].split(",")
    return (value in values) is not condition.startswith("!")


def answers(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of each host, or a RayError if it failed or did not come in time.

    `asked` maps each host to the reference to its answer.
    """
    if not asked:
        return {}
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
    return {host: _answer(ref) for host, ref in asked.items()}


def _answer(ref: Any) -> Any:
    try:
        return ray.get(ref, timeout=0)
    except ray_errors.RayError as error:
        return error


def on_every_host(
    address: str, function: Callable[..., Any], *arguments: Any
) -> dict[str, tuple[Any, int]]:
    """Call `function` on each live host of the cluster at `address`.

    Return a dict. Its keys are the hosts' IP addresses. Its values are pairs of the function's
    result and the size of the host's object store in bytes. If a host returns no result, a str with
    the reason takes its place. The module of the function is sent along, so the hosts need not have
    it. Raise PoolError if the cluster cannot be joined.
    """
    connection = RayConnection(address, timeout_s=0)
    module = importlib.import_module(function.__module__)
    cloudpickle.register_pickle_by_value(module)
    try:
        nodes = {node["NodeManagerAddress"]: node for node in _live_nodes()}
        asked = {host: _start_at(node, function, arguments) for host, node in nodes.items()}
        return {
            host: (
                _text(answer) if isinstance(answer, ray_errors.RayError) else answer,
                _store_bytes(nodes[host]),
            )
            for host, answer in answers(asked).items()
        }
    finally:
        cloudpickle.unregister_pickle_by_value(module)
        connection.release()


def _start_at(node: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task = ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    return task.remote(*arguments)


def _text(error: ray_errors.RayError) -> str:
    if isinstance(error, ray_errors.GetTimeoutError):
        return f"no answer within {ANSWER_TIMEOUT_S:g} s"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _live_nodes() -> list[Any]:
    return [node for node in ray.nodes() if node["Alive"]]


def _store_bytes(node: Any) -> int:
    return int(node["Resources"].get("object_store_memory", 0))


@dataclass(frozen=True)
class WorkerFacts:
    """Facts about a worker: its host's address, Ray's node id, its version of raybatch.

    `setup_error` is the error that the program's `setup` raised there; None if it raised none.
    """

    host: str
    node_id: str
    version: str
    setup_error: str | None = None

    @classmethod
    def checked(cls, facts: object) -> WorkerFacts:
        """Return `facts`, which a worker sent, if the worker can be used.

        Raise OtherVersionError if its version of raybatch differs from this process's, or
        SetupError if its `setup` failed.
        """
        if not isinstance(facts, WorkerFacts):
            raise OtherVersionError("?", "of an older, unknown version")
        if facts.version != own_version():
            raise OtherVersionError(facts.host, facts.version)
        if facts.setup_error is not None:
            raise SetupError(f"the pool's `setup` failed on host {facts.host}: {facts.setup_error}")
        return facts

    @classmethod
    def here(cls, setup_error: str | None = None) -> WorkerFacts:
        """Return the facts about this process."""
        node_id = ray.get_runtime_context().get_node_id()
        return cls(address(), node_id, own_version(), setup_error)


class SetupError(PoolError):
    """The program's `setup` raised in an actor. It would raise again in a new actor."""


class OtherVersionError(RuntimeError):
    """A host has a different version of raybatch, which may make different batches."""

    def __init__(self, host: str, version: str) -> None:
        here = own_version()
        super().__init__(
            f"host {host} has raybatch {version}, but this process has {here}: install raybatch "
            f"{here} on that host"
        )


def own_version() -> str:
    """Return the version of raybatch in this process."""
    # The top-level module is above all layers, so it is imported only when this is called.
    return str(importlib.import_module("raybatch").__version__)


def address() -> str:
    """Return the IP address of this host in its cluster."""
    return str(ray.util.get_node_ip_address())


def why_not_started(error: BaseException) -> str:
    """Return one line that says why an actor could not be used and what to do."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # An exception in the actor's process arrives as text. Its first line has the address, and its
    # last line the exception.
    host = re.search(r"creation task.*\bip=([^,\s]+)", lines[0])
    if host is None:
        return lines[0]
    raised = lines[-1].strip()
    return ". ".join(filter(None, [f"on host {host[1]}: {raised}", advice(raised)]))
