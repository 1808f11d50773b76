"""Pools in a process whose placement group takes in what it starts, such as a trial of Ray Tune."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

import raybatch as rb
from tests.drivers import wait_for
from tests.sample_sources import numbers


@ray.remote(num_cpus=1)
def trial(group_id: str, **options: Any) -> tuple[int, int, bool, str]:
    """Return how many samples came, how many actors there were, whether they took the second bundle, and what was said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), rb.RayActorPool(**options).wait_until_up() as pool:
        with rb.Loader(numbers(0, 20), 5, pool=pool) as loader:
            count = sum(len(batch) for (batch,) in loader)
        return count, pool.num_actors, is_taken(f"CPU_group_1_{group_id}"), said.getvalue()


def is_taken(resource: str) -> bool:
    """Return whether nothing of `resource` is free; Ray may take a moment to know."""
    try:
        wait_for(lambda: resource not in ray.available_resources(), "it is taken", 1)
    except AssertionError:
        return False
    return True


@pytest.fixture
def run(ray_cluster: None) -> Iterator[Any]:
    """Return what runs a trial in the first of two bundles of a CPU each, of 4 in all, two of which are another's."""
    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    ray.get(group.ready())
    there = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
    task: Any = trial
    yield lambda **options: ray.get(
        task.options(scheduling_strategy=there).remote(
            group.id.hex(), start_timeout_s=30, **options
        )
    )
    remove_placement_group(group)
    wait_for(lambda: ray.available_resources().get("CPU") == 4, "all CPUs are free", 30)


def test_actors_start_in_the_group_if_it_has_bundles_for_them(run: Any) -> None:
    assert run(num_actors=1) == (20, 1, True, "")


def test_without_a_number_there_are_as_many_as_the_group_has_room_for(run: Any) -> None:
    assert run() == (20, 1, True, "")


def test_actors_start_outside_of_a_group_without_room_and_that_is_said(run: Any) -> None:
    count, actors, is_in_group, said = run(num_actors=2)
    assert (count, actors, is_in_group) == (20, 2, False)
    assert said.count("\n") == 1
    assert "has room for 1 of 2 actors, so they start outside of it" in said
    assert "add 2 bundles of {'CPU': 1} to it" in said


def test_a_pool_with_a_name_is_outside_of_everybodys_group(run: Any) -> None:
    assert run(num_actors=1, name="shared by trials") == (20, 1, False, "")
