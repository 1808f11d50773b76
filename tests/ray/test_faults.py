"""Workers that die, stop or are slow neither change the stream nor delay the consumer."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from ray import exceptions as ray_errors

import raybatch as rb
from raybatch.pools.ray.failures import KINDS, Kind, kind_of
from tests.drivers import actor_processes, alive, an_actor, store_bytes, wait_for


@pytest.fixture(autouse=True)
def no_actor_is_left() -> Iterator[None]:
    yield
    wait_for(lambda: not actor_processes(), "all actors have ended", 30)


class Paced:
    """An array-like that takes `seconds` for each read.

    If `slow` is a path, the first process that reads takes 200 times as long from its second read
    on.
    """

    def __init__(self, length: int, seconds: float, slow: str = "") -> None:
        self.length, self.seconds, self.slow = length, seconds, slow

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        factor = 200 if self.slow and _is_me(f"{self.slow}/pid") else 1
        if self.slow:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.slow)
                with open(f"{self.slow}/pid", "w") as file:
                    file.write(str(os.getpid()))
        time.sleep(self.seconds * factor)
        return np.repeat(np.asarray(index)[:, None], 20_000, axis=1)


def _is_me(path: str) -> bool:
    try:
        with open(path) as file:
            return file.read() == str(os.getpid())
    except FileNotFoundError:
        return False


def source(batches: int, seconds: float = 0.02, slow: str = "") -> rb.ArrayDataSource:
    return rb.ArrayDataSource([Paced(batches * 4, seconds, slow)])


def expected(batches: int) -> str:
    return rb.stream_digest(rb.Loader(source(batches, 0.0), 4, shuffle=3))


def waits_of(batches: Iterator[Any]) -> Iterator[tuple[float, Any]]:
    """Yield pairs: the seconds that the loop waited for a batch, and the batch."""
    start = time.monotonic()
    for batch in batches:
        yield time.monotonic() - start, batch
        start = time.monotonic()


def test_a_stopped_actor_holds_up_nobody(ray_cluster: None) -> None:
    with rb.RayActorPool(2) as pool, rb.Loader(source(60), 4, shuffle=3, pool=pool) as loader:
        pool.wait_until_up()
        stopped = None
        longest, batches = 0.0, []
        for wait, batch in waits_of(iter(loader)):
            batches.append(batch)
            longest = max(longest, wait)
            if len(batches) == 20:
                stopped = an_actor()
                stopped.suspend()
        assert stopped is not None
        assert stopped.status() == psutil.STATUS_STOPPED
        assert rb.stream_digest(batches) == expected(60)
        # The actor stays stopped forever. On an idle machine, the longest wait is below 1 s.
        assert longest < 10


def test_a_stuck_actor_is_ended_and_replaced(ray_cluster: None) -> None:
    recovery = rb.Recovery(batch_timeout_s=1)
    with rb.RayActorPool(1) as pool:
        with rb.Loader(source(30), 4, shuffle=3, pool=pool, recovery=recovery) as loader:
            iterator = iter(loader)
            batches = [next(iterator)]
            stuck = an_actor()
            stuck.suspend()
            batches.extend(iterator)
            assert rb.stream_digest(batches) == expected(30)
            wait_for(lambda: not alive([stuck]), "the stuck actor is ended", 30)


def test_a_loader_beside_one_whose_batch_is_stuck_goes_on(ray_cluster: None) -> None:
    # The patient loader would wait for at least 60 s. The hasty loader on the same pool ends the
    # stuck worker after 1 s.
    with rb.RayActorPool(1) as pool:
        patient = rb.Loader(source(30), 4, shuffle=3, pool=pool)
        hasty = rb.Loader(
            source(30), 4, shuffle=3, pool=pool, recovery=rb.Recovery(batch_timeout_s=1)
        )
        with patient, hasty:
            first, second = iter(patient), iter(hasty)
            batches, others = [next(first)], [next(second)]
            for actor in actor_processes():
                actor.suspend()
            others.extend(second)
            batches.extend(first)
            assert rb.stream_digest(batches) == rb.stream_digest(others) == expected(30)


def test_a_loader_that_fails_leaves_the_other_on_its_pool_alone(ray_cluster: None) -> None:
    def fail(*batch: Any) -> Any:
        raise ValueError("bad")

    with rb.RayActorPool(2) as pool:
        good = rb.Loader(source(30), 4, shuffle=3, pool=pool)
        bad = rb.Loader(source(30).map(fail), 4, pool=pool, check_sample=False)
        with good, bad:
            iterator = iter(good)
            batches = [next(iterator)]
            with pytest.raises(rb.errors.BatchError, match="bad"):
                next(iter(bad))
            batches.extend(iterator)
            assert rb.stream_digest(batches) == expected(30)


@pytest.mark.slow
def test_actors_killed_in_a_loop_change_nothing(ray_cluster: None) -> None:
    done = threading.Event()

    choice = random.Random(5)

    def kill_some() -> None:
        while not done.wait(0.5):
            # Spare the last actor. On a slow machine, all actors would die faster than they start.
            if len(pool._crew.workers) > 1 and (actors := actor_processes()):
                with contextlib.suppress(psutil.NoSuchProcess):  # the actor has just ended
                    choice.choice(actors).kill()

    recovery = rb.Recovery(max_attempts=20)
    with rb.RayActorPool(4) as pool:
        with rb.Loader(source(150), 4, shuffle=3, pool=pool, recovery=recovery) as loader:
            pool.wait_until_up()
            killer = threading.Thread(target=kill_some)
            killer.start()
            try:
                assert rb.stream_digest(loader) == expected(150)
            finally:
                done.set()
                killer.join()


def test_the_result_of_a_late_loser_is_freed(ray_cluster: None) -> None:
    with rb.RayActorPool(2) as pool, rb.Loader(source(60), 4, shuffle=3, pool=pool) as loader:
        pool.wait_until_up()
        iterator = iter(loader)
        batches = [next(iterator) for _ in range(10)]
        stopped = an_actor()
        stopped.suspend()
        batches += [next(iterator) for _ in range(30)]
        stopped.resume()
        batches.extend(iterator)
        assert rb.stream_digest(batches) == expected(60)
        del batches, iterator
    gc.collect()
    wait_for(lambda: store_bytes() == 0, "the object store is empty", 20)


def test_a_slow_actor_costs_little(tmp_path: Any, ray_cluster: None) -> None:
    def seconds(actors: int, slow: str) -> float:
        with rb.RayActorPool(actors) as pool:
            with rb.Loader(source(150, 0.03, slow), 4, shuffle=3, pool=pool) as loader:
                pool.wait_until_up()
                iterator = iter(loader)
                batches = [next(iterator)]
                start = time.monotonic()
                batches.extend(iterator)
                end = time.monotonic()
                assert rb.stream_digest(batches) == expected(150)
                return end - start

    # The ratio is about 1.2, or 1.4 on a busy machine. Each wait for the slow actor would take 6 s.
    assert seconds(3, str(tmp_path / "slow")) < 2.5 * seconds(2, "")


def test_every_exception_of_ray_has_a_kind() -> None:
    classes = {
        name
        for name, value in vars(ray_errors).items()
        if isinstance(value, type) and issubclass(value, ray_errors.RayError)
    }
    assert classes - KINDS.keys() == set()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ray_errors.WorkerCrashedError(), Kind.WORKER_LOST),
        (ray_errors.NodeDiedError("gone"), Kind.WORKER_LOST),
        (ray_errors.ObjectLostError("0" * 56, None, ""), Kind.RESULT_LOST),
        (ray_errors.OwnerDiedError("0" * 56, None, ""), Kind.RESULT_LOST),
        (ray_errors.GetTimeoutError("late"), Kind.RESULT_LOST),
        (ray_errors.ObjectStoreFullError("full"), Kind.OUT_OF_ROOM),
        (ray_errors.RayTaskError("make", "text", ValueError("bad")), Kind.USER_ERROR),
        (
            ray_errors.RayTaskError("make", "text", ray_errors.ObjectLostError("0" * 56, None, "")),
            Kind.RESULT_LOST,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_lost_is_told_from_what_was_wrong(error: Exception, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_an_error_of_the_users_code_is_tried_again_as_often_as_asked(
    tmp_path: Any, ray_cluster: None
) -> None:
    def flaky(rows: Any) -> Any:
        path = tmp_path / str(rows[0, 0])
        if not path.exists():
            path.touch()
            raise OSError("not now")
        return (rows,)

    flaky_source = source(5).map(flaky)
    with rb.RayActorPool(1) as pool:
        recovery = rb.Recovery(max_error_attempts=2)
        with rb.Loader(flaky_source, 4, shuffle=3, pool=pool, recovery=recovery) as loader:
            assert rb.stream_digest(loader) == expected(5)
