"""What the hosts of a cluster have room for, which changes as they come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray


@dataclass(frozen=True)
class ActorOptions:
    """What Ray is asked for, for each actor."""

    num_cpus: float
    resources: dict[str, float]
    scheduling_strategy: Any


@dataclass(frozen=True)
class Capacity:
    """The live hosts have room for `num_actors`; the smallest of their object stores has `store_bytes`."""

    num_actors: int
    store_bytes: int


def capacity(num_cpus: float, resources: dict[str, float]) -> Capacity:
    """Ask Ray which hosts are alive, and how many actors with these demands they could run in all."""
    hosts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    # An actor that asks for nothing uses a CPU all the same.
    demands = {"CPU": num_cpus or 1.0, **resources}
    actors = sum(
        min(int(host.get(name, 0.0) / amount) for name, amount in demands.items() if amount)
        for host in hosts
    )
    stores = [int(host.get("object_store_memory", 0)) for host in hosts]
    return Capacity(max(1, actors), min(filter(None, stores), default=0))
