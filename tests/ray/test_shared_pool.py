"""A pool with a name is shared in its cluster, and ends after its last user."""

from __future__ import annotations

import os
from typing import Any

import pytest
import ray

import raybatch as rb
from tests.drivers import actor_processes, start, wait_for
from tests.sample_sources import numbers


@ray.remote(num_cpus=0)
class Consumer:
    """A separate process that consumes one rank."""

    def __init__(self, loader: list[rb.Loader]) -> None:
        self.loader = loader[0]
        self.batches = iter(self.loader)

    def take(self, count: int) -> list[int]:
        return [
            int(i) for _, (batch,) in zip(range(count), self.batches, strict=False) for i in batch
        ]

    def close(self) -> None:
        self.loader.close()
        del self.loader, self.batches


def consumers_of(loader: rb.Loader, world_size: int) -> list[Any]:
    consumer: Any = Consumer
    return [consumer.remote([part]) for part in loader.split(world_size)]


@pytest.fixture
def loader(ray_cluster: None, request: pytest.FixtureRequest) -> rb.Loader:
    pool = rb.RayActorPool(2, name=request.node.name)
    return rb.Loader(numbers(0, 120), 5, shuffle=3, pool=pool)


def test_two_consumers_in_two_actors_share_the_actors_of_one_pool(loader: rb.Loader) -> None:
    consumers = consumers_of(loader, 2)
    got = ray.get([consumer.take.remote(100) for consumer in consumers])
    assert sorted(got[0] + got[1]) == list(range(120))
    assert len(got[0]) == len(got[1])
    wait_for(lambda: len(actor_processes()) == 2, "two actors", 30)
    serial = rb.Loader(numbers(0, 120), 5, shuffle=3).split(2)
    assert got == [[int(i) for (batch,) in part for i in batch] for part in serial]
    ray.get([consumer.close.remote() for consumer in consumers])
    wait_for(lambda: len(actor_processes()) == 2, "the maker still uses it", 30)
    loader.close()
    del loader


def test_it_outlives_its_maker_as_long_as_someone_uses_it(loader: rb.Loader) -> None:
    first, second = consumers_of(loader, 2)
    head = ray.get([first.take.remote(2), second.take.remote(2)])
    loader.close()
    ray.get(first.close.remote())
    rest = ray.get(second.take.remote(100))
    assert len(head[1] + rest) == 60
    wait_for(lambda: len(actor_processes()) == 2, "two actors", 30)
    ray.kill(second)  # it cannot close its loader first
    wait_for(lambda: not actor_processes(), "no actors", 30)


def test_a_worker_that_dies_is_replaced_for_all(loader: rb.Loader) -> None:
    consumers = consumers_of(loader, 2)
    ray.get([consumer.take.remote(1) for consumer in consumers])
    before = actor_processes()
    before[0].kill()
    rest = ray.get([consumer.take.remote(100) for consumer in consumers])
    assert [len(part) for part in rest] == [55, 55]
    wait_for(lambda: len(actor_processes()) == 2, "two actors", 30)
    for consumer in consumers:
        ray.kill(consumer)
    loader.close()
    wait_for(lambda: not actor_processes(), "no actors", 30)


def test_a_driver_that_is_killed_leaves_nothing_behind(ray_cluster: None) -> None:
    program = """
loader = rb.Loader(source, 10, pool=rb.RayActorPool(2, name="killed"))
next(iter(loader))
say(ready=1)
input()
"""
    address = ray.get_runtime_context().gcs_address
    with start(program, env={**os.environ, "RAY_ADDRESS": address}) as driver:
        driver.listen()
        wait_for(lambda: len(actor_processes()) == 2, "two actors", 30)
        driver.process.kill()
        driver.process.wait()
        wait_for(lambda: not actor_processes(), "no actors", 30)


def test_a_user_with_another_raybatch_is_refused_and_harms_nobody(loader: rb.Loader) -> None:
    batches = iter(loader)
    next(batches)
    wait_for(lambda: len(actor_processes()) == 2, "two actors", 30)
    before = actor_processes()
    program = """
rb.__version__ = "0.0.1"
try:
    rb.RayActorPool(2, name=sys.argv[1])
except rb.errors.PoolError as error:
    say(text=str(error).replace(" ", "_"))
"""
    address = ray.get_runtime_context().gcs_address
    name = "test_a_user_with_another_raybatch_is_refused_and_harms_nobody"
    with start(program, {**os.environ, "RAY_ADDRESS": address}, [name]) as driver:
        text = driver.listen()["text"]
    assert f"runs_raybatch_{rb.__version__},_but_this_process_has_0.0.1" in text
    assert len(list(batches)) == 23
    assert actor_processes() == before
    loader.close()
