"""Features of the Ray actor pool alone: clusters, memory, threads in actors, foreign arrays."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from ray import cloudpickle

import raybatch as rb
from raybatch.accessors.reading import map_rows
from tests.drivers import LOOK_EVERY_S, actor_processes, an_actor, start, wait_for
from tests.stores.file_arrays import hdf5, memory_map, zarr_array

COUNT_BATCHES = """
with rb.Loader(source, 100, pool=rb.RayActorPool(1)) as loader:
    batches = sum(1 for _ in loader)
    import ray
    say(batches=batches, address=ray.get_runtime_context().gcs_address)
say(initialized=ray.is_initialized())
"""


OWN_TASKS = """
class Pair:
    def __init__(self, number): self.number = number

def doubled(pair): return 2 * pair.number

pool = rb.RayActorPool(1, address=sys.argv[1])
tasks = [(doubled, (Pair(3),)), (lambda pair: pair.number, (Pair(4),)), (len, (b"bytes",))]
say(results="/".join(map(str, pool.work_stream(iter(tasks)).retrieve_iter())))
"""


def test_what_the_program_itself_defines_travels_to_actors(ray_cluster: None) -> None:
    address = ray.get_runtime_context().gcs_address
    with start(OWN_TASKS, arguments=[address]) as driver:
        assert driver.listen() == {"results": "6/4/5"}


def test_it_joins_the_cluster_that_the_environment_names(ray_cluster: None) -> None:
    address = ray.get_runtime_context().gcs_address
    with start(COUNT_BATCHES, env={**os.environ, "RAY_ADDRESS": address}) as driver:
        assert driver.listen() == {"batches": "10", "address": address}
        assert driver.listen() == {"initialized": "False"}, "it left the cluster that it had joined"
        assert driver.process.wait() == 0


def test_it_uses_the_ray_of_the_program_and_leaves_it(ray_cluster: None) -> None:
    address = ray.get_runtime_context().gcs_address
    for given in (None, "auto", address):
        with rb.RayActorPool(1, address=given):
            pass
        assert ray.is_initialized()
    with pytest.raises(rb.errors.PoolError, match="connected to the one at"):
        rb.RayActorPool(1, address="127.0.0.1:1")


def test_the_environment_does_not_count_once_the_program_has_a_ray(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    with rb.RayActorPool(1):
        pass
    port = ray.get_runtime_context().gcs_address.rpartition(":")[2]
    with rb.RayActorPool(1, address=f"localhost:{port}"):
        pass


@pytest.mark.slow
def test_a_ray_that_the_program_ends_is_missed_and_no_other_started() -> None:
    program = """
import ray
pool = rb.RayActorPool(1)
loader = rb.Loader(source, 10, pool=pool)
batches = iter(loader)
next(batches)
ray.shutdown()
for attempt in (lambda: next(batches), lambda: list(loader), lambda: rb.Loader(source, 10, pool=pool)):
    try:
        attempt()
    except rb.errors.PoolError as error:
        say(missed="shut-down" if "shut down" in str(error) else error)
say(initialized=ray.is_initialized())
pool.close()
del loader, batches
other = rb.RayActorPool(1)
ray.shutdown()
ray.init(address="local", include_dashboard=False)
rb.RayActorPool(1).close()
other.close()
say(initialized=ray.is_initialized())
"""
    with start(program) as driver:
        for _ in range(3):
            assert driver.listen() == {"missed": "shut-down"}
        assert driver.listen() == {"initialized": "False"}
        assert driver.listen() == {"initialized": "True"}, "the program's own Ray is left alone"


def test_without_an_address_pools_share_a_ray_that_ends_with_the_last_of_them() -> None:
    program = """
import ray
first, second = rb.RayActorPool(1), rb.RayActorPool(1)
first.close()
say(batches=sum(1 for _ in rb.Loader(source, 100, pool=second)))
second.close()
say(initialized=ray.is_initialized())
input()
try:
    rb.RayActorPool(1, resources={"CPU": 1})
except ValueError:
    say(initialized=ray.is_initialized())
"""
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with start(program, env=env) as driver:
        assert driver.listen() == {"batches": "10"}
        assert driver.listen() == {"initialized": "False"}
        wait_for(lambda: not driver.children(), "no process of Ray", 30)
        driver.go_on()
        assert driver.listen() == {"initialized": "False"}, "a pool that fails leaves no Ray behind"


def test_an_address_that_nobody_answers_is_an_error() -> None:
    program = """
try:
    rb.RayActorPool(1, address="no address")
except rb.errors.PoolError as error:
    say(refused="no address" in str(error))
"""
    with start(program) as driver:
        assert driver.listen() == {"refused": "True"}


def test_one_actor_for_each_cpu_by_default(ray_cluster: None) -> None:
    with rb.RayActorPool() as pool:
        assert pool.num_actors == 4
    with rb.RayActorPool(num_cpus_per_actor=2) as pool:
        assert pool.num_actors == 2


def test_what_the_cluster_does_not_have_is_an_error_that_says_so(ray_cluster: None) -> None:
    source = rb.ArrayDataSource([np.arange(10)])
    pool = rb.RayActorPool(1, resources={"unobtainium": 1}, start_timeout_s=0.5)
    with rb.Loader(source, 5, pool=pool) as loader:
        with pytest.raises(rb.errors.PoolError, match=r"1 CPU and 1 unobtainium.*0 unobtainium"):
            next(iter(loader))
    with pool, pytest.raises(rb.errors.PoolError, match=r"did not start within 0\.5 s"):
        pool.wait_until_up()


class Late:
    """An array-like so slow that an actor which manages to start is killed in its first batch."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: Any) -> Any:
        time.sleep(2)
        return np.asarray(index)


@pytest.mark.parametrize("name", [None, "dies at start"])
def test_actors_that_die_at_every_start_are_an_error(name: str | None, ray_cluster: None) -> None:
    gave_up = threading.Event()

    def kill_all() -> None:
        while not gave_up.wait(LOOK_EVERY_S):
            for actor in actor_processes():
                with contextlib.suppress(psutil.NoSuchProcess):  # the actor has just ended
                    actor.kill()

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with rb.RayActorPool(1, name=name) as pool:
            source = rb.ArrayDataSource([Late()])
            recovery = rb.Recovery(no_progress_timeout_s=100)
            with rb.Loader(source, 5, pool=pool, recovery=recovery) as loader:
                with pytest.raises(
                    rb.errors.PoolError, match=r"\d actors in a row could not be used"
                ):
                    next(iter(loader))
    finally:
        gave_up.set()
        killer.join()


def test_actors_that_fit_do_the_work_of_those_that_do_not(ray_cluster: None) -> None:
    source = rb.ArrayDataSource([np.arange(100)])
    with rb.RayActorPool(9) as pool, rb.Loader(source, 5, pool=pool) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(source.batch_iterator(5))
        assert len(actor_processes()) <= 4


def test_a_million_paths_cost_an_actor_under_10_mb(photos: list[str], ray_cluster: None) -> None:
    few = rb.ImageFileAccessor(photos, size=(8, 8))
    many = rb.ImageFileAccessor(photos + [f"/data/train/n{i:09}.jpg" for i in range(10**6)], (8, 8))
    with rb.RayActorPool(1) as pool:
        private = []
        for accessor in (few, many):
            source = rb.ArrayDataSource([accessor], indices=np.arange(len(photos)))
            with rb.Loader(source, 10, pool=pool) as loader:
                assert len(list(loader)) == 4
                actor = an_actor()
                private.append(actor.memory_full_info().uss)
    assert private[1] - private[0] < 10 * 2**20


class RowsTogether:
    """An array-like that completes its rows only if four are made at the same time."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: Any) -> Any:
        together = threading.Barrier(4)

        def row(i: int) -> int:
            together.wait(timeout=60)
            return int(i)

        return np.array(map_rows(row, index))


def test_threads_per_actor_make_the_rows_of_one_batch(ray_cluster: None) -> None:
    source = rb.ArrayDataSource([RowsTogether()])
    pool = rb.RayActorPool(1, threads_per_actor=4)
    with rb.Loader(source, 4, pool=pool, check_sample=False) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(
            [(np.arange(i, i + 4),) for i in range(0, 100, 4)]
        )


def test_a_memory_map_is_mapped_again_and_not_copied_into_the_store(
    tmp_path: Path, ray_cluster: None
) -> None:
    np.save(tmp_path / "large.npy", np.arange(5_000_000))
    for values in (np.load(tmp_path / "large.npy", mmap_mode="r"), np.arange(1000)):
        source = rb.ArrayDataSource([values])
        assert len(cloudpickle.dumps(source)) < 10_000
        copy = pickle.loads(pickle.dumps(source))
        (batch,) = copy.samples_by_indices(np.array([999, 5]))
        assert batch.tolist() == [999, 5]


@pytest.fixture(params=[memory_map, hdf5, zarr_array], ids=["memmap", "h5py", "zarr"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    values = np.arange(600).reshape(100, 6)
    return request.param(tmp_path, values)


def test_array_likes_of_other_libraries_travel_to_actors(foreign: Any, ray_cluster: None) -> None:
    source = rb.ArrayDataSource([foreign])
    expected = rb.ArrayDataSource([np.arange(600).reshape(100, 6)]).batch_iterator(7, shuffle=1)
    with rb.Loader(source, 7, shuffle=1, pool=rb.RayActorPool(2)) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(expected)
