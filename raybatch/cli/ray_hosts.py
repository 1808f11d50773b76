"""What the hosts of a Ray cluster are like, as each of them sees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ray
from ray import cloudpickle
from ray import exceptions as ray_errors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybatch.cli import host_facts
from raybatch.cli.host_facts import HostFacts
from raybatch.pools.ray.connection import RayConnection

_ANSWER_TIMEOUT_S = 60.0


def look_at_hosts(address: str, paths: list[str]) -> dict[str, HostFacts | str]:
    """Return the facts of each live host of the cluster at `address`, or why there are none, by its IP address.

    PoolError if the cluster cannot be joined.
    """
    connection = RayConnection(address)
    try:
        cloudpickle.register_pickle_by_value(host_facts)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        asked = [_ask(node["NodeID"], paths) for node in nodes]
        ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_TIMEOUT_S)
        return {
            node["NodeManagerAddress"]: _answer(ref, node)
            for node, ref in zip(nodes, asked, strict=True)
        }
    finally:
        cloudpickle.unregister_pickle_by_value(host_facts)
        connection.release()


def _ask(node_id: str, paths: list[str]) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    looking = ray.remote(host_facts.look).options(
        num_cpus=0, max_retries=0, scheduling_strategy=there
    )
    return looking.remote(paths)


def _answer(ref: Any, node: Any) -> HostFacts | str:
    try:
        facts: HostFacts = ray.get(ref, timeout=0)
    except ray_errors.GetTimeoutError:
        return f"it gave no answer in {_ANSWER_TIMEOUT_S:g} s"
    except ray_errors.RayError as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return replace(facts, store_bytes=int(node["Resources"].get("object_store_memory", 0)))
