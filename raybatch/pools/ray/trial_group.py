"""Starts actors in the placement group of this process, for example that of a Ray Tune trial."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raybatch.notices import say
from raybatch.pools.ray.hosts import SPREAD, ActorOptions

_log = logging.getLogger(__name__)

# Ray reports a new group, and this process's share of it, with a delay, usually of 0.1 s.
_REPORTED_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.05


def in_own_group(options: ActorOptions) -> ActorOptions:
    """Return `options` with the placement group of this process as their scheduling strategy.

    Return `options` unchanged if the group does not capture child tasks, if the actors request no
    resources, or if the options already say where the actors run. If the group has no room for the
    actors, tell the user, and return `options` unchanged too. If `num_actors` is None, use all the
    room in the group.
    """
    demands = {"CPU": options.num_cpus, **options.resources}
    is_placed = options.scheduling_strategy != SPREAD or options.label_selector
    group = _capturing_group()
    if group is None or is_placed or not any(demands.values()):
        return options
    room, wanted = _room(group, demands), options.num_actors or 1
    if room < wanted:
        bundle = {name: amount for name, amount in demands.items() if amount}
        say(
            _log,
            f"the placement group of this process has room for {room} of {wanted} actors, so they "
            f"start outside of it. To start them inside, add {wanted} bundles of {bundle} to it "
            "(for Ray Tune, with tune.with_resources and tune.PlacementGroupFactory)",
        )
        return options
    strategy = PlacementGroupSchedulingStrategy(group)
    return replace(options, num_actors=options.num_actors or room, scheduling_strategy=strategy)


def _capturing_group() -> Any:
    if not ray.get_runtime_context().should_capture_child_tasks_in_placement_group:
        return None
    return ray.util.get_current_placement_group()


def _room(group: Any, demands: dict[str, float]) -> int:
    """Return how many actors the free resources in the bundles of `group` have room for."""
    deadline = time.monotonic() + _REPORTED_WITHIN_S
    while not _is_reported(group) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    free = ray.available_resources()
    return sum(
        min(
            int(free.get(f"{name}_group_{number}_{group.id.hex()}", 0.0) / amount)
            for name, amount in demands.items()
            if amount
        )
        for number in range(group.bundle_count)
    )


def _is_reported(group: Any) -> bool:
    """Return whether Ray's figures include all of `group`, and this process's share of it."""
    own = ray.get_runtime_context().get_assigned_resources()
    total, free = ray.cluster_resources(), ray.available_resources()
    for name in {name for bundle in group.bundle_specs for name in bundle}:
        key = f"{name}_group_{group.id.hex()}"
        size = sum(bundle.get(name, 0.0) for bundle in group.bundle_specs)
        if total.get(key, 0.0) < size or free.get(key, 0.0) > size - own.get(name, 0.0):
            return False
    return True
