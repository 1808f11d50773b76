"""The contract of all pools. To test a new pool, write a subclass with one fixture."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.batchup.data_source import ArrayDataSource
from raybatch.batchup.work_pool import (
    AbstractWorkerPool,
    InlinePool,
    RayActorPool,
    ThreadPool,
    WorkerProcessPool,
    WorkerThreadPool,
)
from raybatch.pools.stream import OrderedStream
from tests.drivers import actor_processes, wait_for
from tests.session_pool import SessionPool
from tests.workloads import (
    Counted,
    Squares,
    add_then_fail,
    numpy_draws,
    power,
    raise_base_exception,
    total,
)


class PoolTests:
    """Tests that every pool must pass."""

    @pytest.fixture
    def pool(self) -> Iterator[AbstractWorkerPool]:
        raise NotImplementedError

    def test_batches_come_in_order_and_equal_the_serial_ones(
        self, pool: AbstractWorkerPool
    ) -> None:
        source = ArrayDataSource([Squares(100), np.arange(100)], include_indices=True)
        serial = rb.stream_digest(source.batch_iterator(7, shuffle=3))
        for prefetch in (None, rb.Prefetch(1), rb.Prefetch(30)):
            with rb.Loader(source, 7, shuffle=3, pool=pool, prefetch=prefetch) as loader:
                assert rb.stream_digest(loader) == serial

    def test_two_loaders_at_once_share_the_pool(self, pool: AbstractWorkerPool) -> None:
        training = rb.Loader(ArrayDataSource([Squares(50)]), 5, pool=pool)
        validation = rb.Loader(ArrayDataSource([np.arange(50)]), 5, pool=pool)
        with training, validation:
            for (x,), (y,) in zip(training, validation, strict=True):
                assert (x == y**2).all()

    def test_a_users_error_names_the_batch_and_keeps_its_type_and_cause(
        self, pool: AbstractWorkerPool
    ) -> None:
        loader = rb.Loader(ArrayDataSource([Squares(40, "ValueError")]), 10, pool=pool)
        batches = iter(loader)
        next(batches)
        with pytest.raises(
            rb.errors.BatchError, match="batch 1 of epoch 0: sample 13: ValueError: 13 is bad"
        ) as info:
            next(batches)
        assert (info.value.epoch, info.value.batch) == (0, 1)
        assert type(info.value.__cause__) is ValueError
        assert type(info.value.__cause__.__cause__) is KeyError

    def test_one_bad_batch_does_not_end_the_epoch(self, pool: AbstractWorkerPool) -> None:
        loader = rb.Loader(ArrayDataSource([Squares(40, "ValueError")]), 10, pool=pool)
        batches, got = iter(loader), []
        while True:
            try:
                got.append(int(next(batches)[0][0]))
            except rb.errors.BatchError:
                got.append(-1)
            except StopIteration:
                break
        assert got == [0, -1, 400, 900]
        assert loader.epoch == 1

    def test_sys_exit_in_the_users_code_is_an_error(self, pool: AbstractWorkerPool) -> None:
        loader = rb.Loader(ArrayDataSource([Squares(20, "sys.exit")]), 20, pool=pool)
        with pytest.raises(rb.errors.BatchError, match=r"sys\.exit\(3\)"):
            next(iter(loader))

    def test_what_is_no_exception_but_would_end_a_worker_is_an_error(
        self, pool: AbstractWorkerPool
    ) -> None:
        stream = pool.work_stream(iter([(raise_base_exception,), (power, (3,))]))
        with pytest.raises(rb.errors.RemoteError, match="CancelledError"):
            stream.retrieve()
        assert stream.retrieve() == 3

    def test_a_byte_limit_holds_from_the_first_batch_on(
        self, pool: AbstractWorkerPool, tmp_path: Path
    ) -> None:
        source = ArrayDataSource([Counted(100, tmp_path)])
        prefetch = rb.Prefetch(50, bytes=1)
        with rb.Loader(source, 1, pool=pool, prefetch=prefetch) as loader:
            next(iter(loader))
            assert len(list(tmp_path.iterdir())) <= 2

    def test_an_error_leaves_nothing_for_the_garbage_collector(
        self, pool: AbstractWorkerPool
    ) -> None:
        gc.collect()
        gc.disable()
        try:
            parallel = pool.parallel_data_source(ArrayDataSource([Squares(40, "ValueError")]))
            batches = parallel.batch_iterator(20)
            with pytest.raises(ValueError, match="13 is bad"):
                next(batches)
            # isinstance() would evaluate lazy objects of other libraries.
            streams = [x for x in gc.get_objects() if type(x) is OrderedStream]
            assert streams == []
        finally:
            gc.enable()

    def test_closing_the_loader_lets_go_of_the_pool_while_its_iterator_lives(
        self, pool: AbstractWorkerPool
    ) -> None:
        before = sys.getrefcount(pool)
        loader = rb.Loader(ArrayDataSource([np.arange(40)]), 4, pool=pool)
        batches = iter(loader)
        next(batches)
        loader.close()
        del loader
        assert sys.getrefcount(pool) == before
        with pytest.raises(rb.errors.PoolError, match="closed"):
            next(batches)

    def test_streams_of_several_threads_share_a_constant(self, pool: AbstractWorkerPool) -> None:
        parallel = pool.parallel_data_source(ArrayDataSource([Squares(12)]))

        def consume(_: int) -> str:
            return rb.stream_digest(parallel.batch_iterator(2))

        with ThreadPoolExecutor(3) as executor:
            assert len(set(executor.map(consume, range(60)))) == 1

    def test_an_exception_that_cannot_be_unpickled_arrives(self, pool: AbstractWorkerPool) -> None:
        loader = rb.Loader(ArrayDataSource([Squares(20, "Unpicklable")]), 20, pool=pool)
        with pytest.raises(rb.errors.BatchError, match="UnpicklableError: ab"):
            next(iter(loader))

    def test_many_short_lived_sources_never_mix(self, pool: AbstractWorkerPool) -> None:
        """A new source is not mistaken for a deleted source that had the same memory address."""
        for number in range(30):
            source = ArrayDataSource([np.full(4, number)])
            with rb.Loader(source, 4, pool=pool) as loader:
                ((batch,),) = list(loader)
            assert (batch == number).all()
            del source

    def test_work_stream(self, pool: AbstractWorkerPool) -> None:
        tasks = [(power, (base, 2)) for base in range(50)]
        stream = pool.work_stream(iter([*tasks, (power, (2,), {"exponent": 5}), (dict,)]))
        assert [stream.retrieve() for _ in range(10)] == [base**2 for base in range(10)]
        assert list(stream.retrieve_iter()) == [base**2 for base in range(10, 50)] + [32, {}]
        assert stream.retrieve() is None
        assert stream.retrieve() is None

    def test_work_stream_raises_a_tasks_own_error_and_goes_on(
        self, pool: AbstractWorkerPool
    ) -> None:
        stream = pool.work_stream(iter([(add_then_fail, (x,)) for x in range(4)]), 2)
        assert [stream.retrieve(), stream.retrieve()] == [1, 2]
        with pytest.raises(ValueError, match="2 is bad"):
            stream.retrieve()
        assert stream.retrieve() == 4
        assert stream.retrieve() is None

    def test_an_error_of_the_task_generator_comes_after_the_results_before_it(
        self, pool: AbstractWorkerPool
    ) -> None:
        def tasks() -> Iterator[Any]:
            yield power, (3,)
            raise KeyError("no more tasks")

        stream = pool.work_stream(tasks())
        assert stream.retrieve() == 3
        with pytest.raises(KeyError):
            stream.retrieve()
        assert stream.retrieve() is None

    def test_a_task_that_is_none_is_refused(self, pool: AbstractWorkerPool) -> None:
        stream = pool.work_stream(iter([("no function",)]))
        with pytest.raises(TypeError, match="a task must be"):
            stream.retrieve()

    def test_shared_constant(self, pool: AbstractWorkerPool) -> None:
        constant = pool.shared_constant(np.arange(10))
        tasks = [(total, (constant, factor)) for factor in range(20)]
        results = list(pool.work_stream(iter(tasks)).retrieve_iter())
        assert [result for result, _ in results] == [45 * factor for factor in range(20)]
        assert len({where for _, where in results}) <= 2, "one copy a worker at the most"

    def test_parallel_data_source(self, pool: AbstractWorkerPool) -> None:
        source = ArrayDataSource([Squares(100)])
        parallel = pool.parallel_data_source(source)
        assert (parallel.num_samples(), parallel.is_random_access) == (100, False)
        ours = list(parallel.batch_iterator(7, shuffle=np.random.RandomState(3)))
        serial = list(source.batch_iterator(7, shuffle=np.random.RandomState(3)))
        assert rb.stream_digest(ours) == rb.stream_digest(serial)
        assert parallel.batch_map_concat(lambda x: x, 7) is not None
        with pytest.raises(TypeError, match="shufle"):
            parallel.batch_iterator(7, shufle=True)

    def test_parallel_data_source_raises_the_users_own_error(
        self, pool: AbstractWorkerPool
    ) -> None:
        parallel = pool.parallel_data_source(ArrayDataSource([Squares(20, "ValueError")]))
        batches = parallel.batch_iterator(20)
        with pytest.raises(ValueError, match="13 is bad"):
            next(batches)

    def test_parallel_data_source_refuses_what_it_cannot_split(
        self, pool: AbstractWorkerPool
    ) -> None:
        with pytest.raises(TypeError, match="data source"):
            pool.parallel_data_source(Squares(100))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="random access"):
            pool.parallel_data_source(rb.CallableDataSource(lambda batch_size: iter([])))
        with pytest.raises(ValueError, match="batches"):
            pool.parallel_data_source(ArrayDataSource([Squares(4)]), batch_buffer_size=0)


class TestInlinePool(PoolTests):
    @pytest.fixture
    def pool(self) -> Iterator[AbstractWorkerPool]:
        with InlinePool() as pool:
            yield pool


class TestThreadPool(PoolTests):
    @pytest.fixture
    def pool(self) -> Iterator[AbstractWorkerPool]:
        before = set(threading.enumerate())
        with ThreadPool(2) as pool:
            yield pool
        wait_for(lambda: set(threading.enumerate()) <= before, "the end of the threads", 30)

    def test_threads_end_with_the_pool_that_nobody_holds(self) -> None:
        before = set(threading.enumerate())
        pool = ThreadPool(3)
        threads = set(threading.enumerate()) - before
        assert len(threads) == 3
        del pool
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()

    def test_a_closed_pool_says_so(self) -> None:
        pool = WorkerThreadPool(2)
        loader = rb.Loader(ArrayDataSource([np.arange(100)]), 1, pool=pool)
        batches = iter(loader)
        next(batches)
        pool.close()
        with pytest.raises(rb.errors.PoolError, match="closed"):
            list(batches)

    @pytest.mark.parametrize(
        ("count", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError)]
    )
    def test_wrong_number_of_threads(self, count: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            ThreadPool(count)


class TestRayActorPool(PoolTests):
    @pytest.fixture(scope="class")
    @classmethod
    def pool(cls, session_ray: SessionPool) -> Iterator[AbstractWorkerPool]:
        with RayActorPool(2) as pool:
            yield pool

    def test_a_killed_actor_costs_time_but_no_batch(self, pool: AbstractWorkerPool) -> None:
        loader = rb.Loader(ArrayDataSource([Squares(4000)]), 5, pool=pool)
        got = []
        for number, (batch,) in enumerate(loader):
            got.append(batch)
            # No actor is up while the replacements of all killed actors are still starting.
            if number % 400 == 50 and (actors := actor_processes()):
                random.choice(actors).kill()
        assert (np.concatenate(got) == np.arange(4000) ** 2).all()

    def test_a_sample_that_kills_every_worker_is_an_error_after_bounded_attempts(
        self, pool: AbstractWorkerPool, tmp_path: Path
    ) -> None:
        source = ArrayDataSource([Squares(40, "kill")])
        recovery = rb.Recovery(max_attempts=2)
        with rb.Loader(source, 10, pool=pool, recovery=recovery) as loader:
            batches = iter(loader)
            next(batches)
            with pytest.raises(rb.errors.BatchError, match="batch 1 of epoch 0: WorkerLostError"):
                next(batches)
            assert int(next(batches)[0][0]) == 400

    def test_a_result_that_cannot_be_pickled_is_an_error(self, pool: AbstractWorkerPool) -> None:
        loader = rb.Loader(ArrayDataSource([Squares(20, "result")]), 20, pool=pool)
        with pytest.raises(rb.errors.BatchError, match=r"could not send its result.*pickle"):
            next(iter(loader))

    def test_a_source_that_cannot_be_unpickled_is_an_error(self, pool: AbstractWorkerPool) -> None:
        source = ArrayDataSource([_OpensBadly(np.arange(4))])
        loader = rb.Loader(source, 2, pool=pool)
        with pytest.raises(rb.errors.BatchError, match=r"cannot load the source.*no such module"):
            next(iter(loader))

    def test_workers_do_not_share_random_state(self, pool: AbstractWorkerPool) -> None:
        source = ArrayDataSource([np.arange(64)]).map(numpy_draws)
        draws = [tuple(draw) for (draw,) in rb.Loader(source, 1, pool=pool)]
        assert len(set(draws)) == 64

    def test_worker_process_pool_uses_as_many_processes_as_asked(self, ray_cluster: None) -> None:
        with WorkerProcessPool(2) as pool:
            pool.wait_until_up()
            stream = pool.work_stream((os.getpid, ()) for _ in range(60))
            assert len(set(stream.retrieve_iter())) == 2

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"num_actors": 0}, ValueError),
            ({"num_actors": "2"}, TypeError),
            ({"threads_per_actor": 0}, ValueError),
            ({"num_cpus_per_actor": -1}, ValueError),
        ],
    )
    def test_wrong_arguments(self, arguments: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            RayActorPool(**arguments)


class _OpensBadly:
    """An array-like that can be pickled, but not unpickled."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise ImportError("no such module: mylib")
