"""What the hosts of a cluster have room for, which changes as they come and go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray._private.state import state  # there is no public way to ask which nodes are drained

SPREAD = "SPREAD"


@dataclass(frozen=True)
class ActorOptions:
    """What Ray is asked for, for each actor."""

    num_cpus: float
    resources: dict[str, float] = field(default_factory=dict)
    label_selector: dict[str, str] = field(default_factory=dict)
    # Ray's default would fill one host before it uses the next.
    scheduling_strategy: Any = SPREAD

    def __post_init__(self) -> None:
        if not self.num_cpus >= 0:
            raise ValueError(f"num_cpus_per_actor must be 0 or more, not {self.num_cpus}")
        for name, amount in self.resources.items():
            if name in ("CPU", "GPU", "memory"):
                raise ValueError(f"resources must be of the user's own, not {name!r}")
            if not 0 < amount < float("inf"):
                raise ValueError(f"resources[{name!r}] must be above 0, not {amount}")
        for name, condition in self.label_selector.items():
            if not isinstance(condition, str):
                raise TypeError(f"label_selector[{name!r}] must be a str, not {condition!r}")
            # Ray's documentation has spaces in `in(a, b)`, and Ray takes them for a part of the label.
            self.label_selector[name] = condition.replace(" ", "")


@dataclass(frozen=True)
class Capacity:
    """The hosts that stay have room for `num_actors`; the smallest object store of all has `store_bytes`.

    `leaving` are the ids of the nodes that are drained: their hosts go soon, and no actor starts there.
    """

    num_actors: int
    store_bytes: int
    leaving: frozenset[str]


def capacity(options: ActorOptions) -> Capacity:
    """Ask Ray which hosts are alive, and how many such actors they could run in all."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    leaving = frozenset(state.get_draining_nodes())
    hosts = [
        node["Resources"]
        for node in nodes
        if node["NodeID"] not in leaving and is_selected(node["Labels"], options.label_selector)
    ]
    # An actor that asks for nothing uses a CPU all the same.
    demands = {"CPU": options.num_cpus or 1.0, **options.resources}
    actors = sum(
        min(int(host.get(name, 0.0) / amount) for name, amount in demands.items() if amount)
        for host in hosts
    )
    stores = [int(node["Resources"].get("object_store_memory", 0)) for node in nodes]
    return Capacity(max(1, actors), min(filter(None, stores), default=0), leaving)


def is_selected(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Return whether a node with `labels` is one that `selector` admits, by Ray's rules.

    A condition is a value, `in(a, b)`, or either with `!` before it, which a label that is missing fulfils.
    """
    return all(_fulfils(labels.get(key), condition) for key, condition in selector.items())


def _fulfils(value: str | None, condition: str) -> bool:
    wanted = condition.removeprefix("!")
    several = re.fullmatch(r"in\((.*)\)", wanted)
    values = [wanted] if several is None else several[1].split(",")
    return (value in values) is not condition.startswith("!")
