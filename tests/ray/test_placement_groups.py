"""Pools in a process whose placement group captures its children, such as a trial of Ray Tune."""

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
class Trial:
    """An actor like a trial of Ray Tune."""

    def run(self, taken: dict[str, float], **options: Any) -> tuple[int, int, str]:
        """Return the number of samples, the number of actors, and the standard error of a pool.

        Also wait until its actors occupy the resources `taken`.
        """
        said, before = io.StringIO(), {"CPU": 2.0}
        with contextlib.redirect_stderr(said), rb.RayActorPool(**options).wait_until_up() as pool:
            with rb.Loader(numbers(0, 20), 5, pool=pool) as loader:
                count = sum(len(batch) for (batch,) in loader)
            left = {name: before.get(name, 1.0) - amount for name, amount in taken.items()}
            wait_for(lambda: free(*taken) == left, f"{left} are free", 30)
            return count, pool.num_actors, said.getvalue()


def free(*names: str) -> dict[str, float]:
    resources = ray.available_resources()
    return {name: resources.get(name, 0.0) for name in names}


@pytest.fixture
def run(ray_cluster: None) -> Iterator[Any]:
    """A function that runs a trial in the first of two bundles of one CPU each.

    Two more CPUs are outside of the group.
    """
    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    ray.get(group.ready())
    there = PlacementGroupSchedulingStrategy(group, 0, placement_group_capture_child_tasks=True)
    actor_class: Any = Trial
    second_bundle = f"CPU_group_1_{group.id.hex()}"

    def run_trial(in_group: int, outside: int, **options: Any) -> Any:
        taken = {second_bundle: in_group, "CPU": outside}
        trial = actor_class.options(scheduling_strategy=there).remote()
        return ray.get(trial.run.remote(taken, start_timeout_s=60, **options))

    yield run_trial
    remove_placement_group(group)
    wait_for(lambda: ray.available_resources().get("CPU") == 4, "all CPUs are free", 30)


def test_actors_start_in_the_group_if_it_has_bundles_for_them(run: Any) -> None:
    assert run(in_group=1, outside=0, num_actors=1) == (20, 1, "")


def test_without_a_number_there_are_as_many_as_the_group_has_room_for(run: Any) -> None:
    assert run(in_group=1, outside=0) == (20, 1, "")


def test_actors_start_outside_of_a_group_without_room_and_that_is_said(run: Any) -> None:
    count, actors, said = run(in_group=0, outside=2, num_actors=2)
    assert (count, actors) == (20, 2)
    assert said.count("\n") == 1
    assert "has room for 1 of 2 actors, so they start outside of it" in said
    assert "add 2 bundles of {'CPU': 1} to it" in said


def test_a_pool_with_a_name_is_outside_of_everybodys_group(run: Any) -> None:
    assert run(in_group=0, outside=1, num_actors=1, name="shared by trials") == (20, 1, "")
