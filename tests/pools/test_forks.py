"""Loaders in a forked process: they work with threads, and raise an error at once with actors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray

import raybatch as rb
from tests.drivers import start
from tests.sample_sources import numbers

# Once an earlier test has imported JAX, JAX warns about every fork.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork.. was called:RuntimeWarning")


def in_fork(function: Callable[[], Any]) -> Any:
    """Return the result of `function`, called in a process that is forked from this one."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=lambda: sender.send(function()), daemon=True
    )
    process.start()
    try:
        assert receiver.poll(20), "it hangs"
        return receiver.recv()
    finally:
        process.kill()
        process.join()


def values(batches: Iterator[Any] | rb.Loader) -> list[int]:
    return [int(value) for (batch,) in batches for value in batch]


@pytest.fixture
def loader() -> Iterator[rb.Loader]:
    """A loader of the numbers 0 to 63, in batches of eight, on two threads."""
    with rb.Loader(numbers(0, 64), 8, pool=rb.ThreadPool(2)) as opened:
        yield opened


def test_threads_before_the_first_epoch_and_after_it(loader: rb.Loader) -> None:
    assert in_fork(lambda: values(loader)) == [*range(64)]
    assert values(loader) == [*range(64)]  # the batches made ahead now are of the next epoch
    assert in_fork(lambda: values(loader)) == [*range(64)]
    assert values(loader) == [*range(64)]


def test_threads_in_the_middle_of_an_epoch(loader: rb.Loader) -> None:
    batches = iter(loader)
    next(batches)
    assert in_fork(lambda: values(batches)) == [*range(8, 64)]
    assert values(batches) == [*range(8, 64)]


def test_a_pool_of_threads_that_was_closed_stays_closed() -> None:
    pool = rb.ThreadPool(2)
    pool.close()

    def attempt() -> str:
        try:
            return str(values(rb.Loader(numbers(0, 64), 8, pool=pool)))
        except rb.errors.PoolError as error:
            return str(error)

    assert in_fork(attempt) == "the pool is closed"


def test_threads_in_workers_of_a_data_loader(loader: rb.Loader) -> None:
    torch_data = pytest.importorskip("torch.utils.data")

    class Batches(torch_data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[Any]:
            return iter(loader)

    batches = torch_data.DataLoader(
        Batches(), batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=20
    )
    for _ in range(2):
        assert [int(value) for (batch,) in batches for value in batch] == [*range(64)]


ACTORS = """
import threading
from tests.pools.test_forks import in_fork, numbers, values

def error_of(function):
    try:
        return str(function())
    except rb.errors.PoolError as error:
        return str(error)[:57].replace(" ", "_")

def forked(function):
    say(raised=in_fork(lambda: error_of(function)))

# A process that is forked off while another thread imports a module may wait for that import for ever.
pool = rb.RayActorPool(1).wait_until_up()
loader = rb.Loader(numbers(0, 64), 8, pool=pool)
forked(lambda: values(loader))
values(loader)
forked(lambda: values(loader))
batches = iter(loader)
next(batches)
# What another thread holds in the moment of the fork, the forked process waits for in vain.
held, is_forked = threading.Event(), threading.Event()
def hold():
    with pool._crew.lock:
        held.set()
        is_forked.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
forked(lambda: values(batches))
is_forked.set()
forked(lambda: rb.RayActorPool(1))
say(rest=len(values(batches)))
"""


def test_actors(ray_cluster: None) -> None:
    address = ray.get_runtime_context().gcs_address
    with start(ACTORS, env={**os.environ, "RAY_ADDRESS": address}) as driver:
        for _ in ("before the first epoch", "after it", "in the middle of one", "another pool"):
            said = driver.listen()["raised"]
            assert said == "this_process_was_forked_from_one_that_runs_Ray,_and_Ray_d"
        assert driver.listen() == {"rest": "56"}
