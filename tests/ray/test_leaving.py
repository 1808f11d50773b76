"""After a program leaves a loader or pool, its actors and its store memory are soon gone."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

import raybatch as rb
from raybatch.pools.ray.signals import interrupt_held
from tests.drivers import actor_processes, alive, start, store_bytes, wait_for

BATCH_BYTES = 64 * 10_000 * 8

# The cleanup takes about one second, or several seconds on a busy machine.
SOON_S = 15


def references() -> set[str]:
    """Return the ids of the results, finished or not, that this process refers to."""
    worker: Any = ray._private.worker.global_worker
    return {ref.decode() for ref in worker.core_worker.get_all_reference_counts()}


class Rows:
    """A data set of 1,000 rows of 80 kB."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: Any) -> Any:
        return np.repeat(np.asarray(index)[:, None], 10_000, axis=1)


@pytest.fixture
def nothing_left(ray_cluster: None) -> Iterator[None]:
    """A check, without garbage collection, that the test leaves no actor and no store memory."""
    wait_for(lambda: store_bytes() < BATCH_BYTES, "an empty store at the start", 30)
    gc.collect()
    gc.disable()  # the cleanup must not depend on it
    try:
        yield
    finally:
        gc.enable()
    wait_for(lambda: not actor_processes(), "no actors", SOON_S)
    wait_for(lambda: store_bytes() < BATCH_BYTES / 2, "no store memory", SOON_S)


@pytest.fixture
def loader(nothing_left: None) -> list[rb.Loader]:
    """A loader in a list, so that a test can drop the last reference to it."""
    return [rb.Loader(rb.ArrayDataSource([Rows()]), 64, pool=rb.RayActorPool(1))]


def begin(loader: rb.Loader) -> Iterator[Any]:
    batches = iter(loader)
    next(batches)
    wait_for(lambda: store_bytes() > BATCH_BYTES, "batches made ahead", 30)
    wait_for(lambda: len(actor_processes()) == 1, "the actor", 30)
    return batches


def test_break(loader: list[rb.Loader]) -> None:
    with loader.pop() as opened:
        for _ in begin(opened):
            break


def test_break_frees_what_was_made_ahead_and_keeps_the_actors(loader: list[rb.Loader]) -> None:
    for _ in begin(loader[0]):
        break
    wait_for(lambda: store_bytes() < BATCH_BYTES / 2, "no store memory", SOON_S)
    wait_for(lambda: len(actor_processes()) == 1, "the actor", 30)
    assert len(list(loader[0])) == 16
    loader.clear()


class Gate:
    """Rows that can be read as soon as the file `opened` exists."""

    def __init__(self, opened: Path) -> None:
        self.opened = opened

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: Any) -> Any:
        wait_for(self.opened.exists, "the gate is opened", 60)
        return np.repeat(np.asarray(index)[:, None], 10_000, axis=1)


def test_what_is_under_way_is_held_until_it_is_made(ray_cluster: None, tmp_path: Path) -> None:
    # Ray 2.60 may keep a result forever if nothing refers to it at the moment when it is finished.
    with rb.RayActorPool(2).wait_until_up() as pool:
        source = rb.ArrayDataSource([Gate(tmp_path / "opened")])
        with rb.Loader(source, 64, pool=pool, check_sample=False) as loader:
            batches = iter(loader)
            under_way = {ref.hex() for actor in pool._crew.workers for ref in actor.queue}
            del batches
            loader.set_epoch(1)
            assert under_way
            assert under_way <= references()
            (tmp_path / "opened").touch()
            wait_for(lambda: not under_way & references(), "all is let go of", 30)
    wait_for(lambda: store_bytes() < BATCH_BYTES / 2, "no store memory", 30)
    wait_for(lambda: not actor_processes(), "no actors", 30)


def test_exception_in_the_loop(loader: list[rb.Loader]) -> None:
    with pytest.raises(ZeroDivisionError), loader.pop() as opened:
        for _ in begin(opened):
            raise ZeroDivisionError


def test_garbage_collection_of_the_loader_alone(loader: list[rb.Loader]) -> None:
    begin(loader[0])
    loader.clear()


def test_close_of_the_loader_in_mid_epoch(loader: list[rb.Loader]) -> None:
    batches = begin(loader[0])
    loader.pop().close()
    with pytest.raises(rb.errors.PoolError, match="closed"):
        next(batches)


def test_end_of_an_epoch(loader: list[rb.Loader]) -> None:
    with loader.pop() as opened:
        assert len(list(begin(opened))) == 15


def test_a_pool_that_the_program_holds_ends_when_it_is_closed(nothing_left: None) -> None:
    with rb.RayActorPool(2) as pool:
        for _ in range(2):
            with rb.Loader(rb.ArrayDataSource([Rows()]), 64, pool=pool) as opened:
                assert len(list(opened)) == 16
        wait_for(
            lambda: len(actor_processes()) == 2,
            "closing a loader leaves the pool to the program",
            30,
        )
    with pytest.raises(rb.errors.PoolError, match="closed"):
        rb.Loader(rb.ArrayDataSource([Rows()]), 64, pool=pool)


LOOP = """
pool = rb.RayActorPool(2)
loader = rb.Loader(source, 10, pool=pool)
del pool
try:
    with loader:
        while True:
            for number, batch in enumerate(loader):
                if number == 10:
                    say(looping=1)
except KeyboardInterrupt:
    say(interrupted=1)
    del loader
    say(left=1)
input()
"""


def test_ctrl_c_ends_the_loop_its_actors_and_the_ray_that_the_pool_started() -> None:
    with start(LOOP, env={**os.environ, "RAY_ADDRESS": ""}) as driver:
        driver.listen()
        assert driver.children()
        driver.process.send_signal(signal.SIGINT)
        assert driver.listen() == {"interrupted": "1"}
        wait_for(lambda: not driver.children(), "no process of Ray", SOON_S)
        assert driver.listen() == {"left": "1"}
        driver.go_on()
        assert driver.process.wait() == 0


STARTING = """
import signal
import ray

init = ray.init

def interrupted(**options):
    signal.raise_signal(signal.SIGINT)
    init(**options)
    say(initialized=ray.is_initialized())

ray.init = interrupted
try:
    rb.RayActorPool(1)
except KeyboardInterrupt:
    say(interrupted=1, left=ray.is_initialized())
"""


def test_ctrl_c_while_ray_starts_takes_effect_when_it_can_be_shut_down() -> None:
    with start(STARTING, env={**os.environ, "RAY_ADDRESS": ""}) as driver:
        assert driver.listen() == {"initialized": "True"}
        children = driver.children()
        assert driver.listen() == {"interrupted": "1", "left": "False"}
        assert driver.process.wait(timeout=60) == 0
        wait_for(lambda: not alive(children), "no process of Ray", SOON_S)


def test_ctrl_c_while_ray_starts_in_vain_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt), interrupt_held():
        signal.raise_signal(signal.SIGINT)
        raise OSError("Ray does not start")


def test_a_killed_driver_takes_its_actors_with_it(ray_cluster: None) -> None:
    address = ray.get_runtime_context().gcs_address
    with start(LOOP, env={**os.environ, "RAY_ADDRESS": address}) as driver:
        driver.listen()
        wait_for(lambda: len(actor_processes()) == 2, "two actors", 30)
        driver.process.kill()
        driver.process.wait()
        wait_for(lambda: not actor_processes(), "no actors", 30)


def test_interpreter_exit_without_closing_is_quiet_and_complete() -> None:
    program = """
loader = rb.Loader(source, 10, pool=rb.RayActorPool(1))
batches = iter(loader)
next(batches)
say(pids=os.getpid())
"""
    with start(program, env={**os.environ, "RAY_ADDRESS": ""}) as driver:
        driver.listen()
        children = driver.children()
        assert driver.process.wait(timeout=60) == 0
        wait_for(lambda: not alive(children), "no process", 30)


HANDLERS = """
import faulthandler, signal, threading

asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append("SIGTERM"))
signal.signal(signal.SIGINT, lambda *_: asked.append("SIGINT"))
faulthandler.enable()

def say_handled():
    for number in (signal.SIGTERM, signal.SIGINT):
        seen = len(asked)
        os.kill(os.getpid(), number)
        while len(asked) == seen:  # where this is not the main thread
            time.sleep(0.01)
    say(handled=",".join(asked))
    asked.clear()

def use():
    with rb.RayActorPool(1):
        say_handled()
    say_handled()

use()
thread = threading.Thread(target=use)
thread.start()
while thread.is_alive():
    thread.join(0.1)
faulthandler._sigsegv()
"""


def test_the_program_has_its_signal_handlers_while_the_ray_of_a_pool_is_up_and_after_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "stderr"
    with log.open("w") as stderr:
        env = {**os.environ, "RAY_ADDRESS": ""}
        with start(HANDLERS, env=env, stderr=stderr) as driver:
            for _ in ("up", "closed", "up in a thread", "closed there"):
                assert driver.listen() == {"handled": "SIGTERM,SIGINT"}
            assert driver.process.wait(timeout=60) == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in log.read_text()


NO_HANDLER = """
import signal

pool = rb.RayActorPool(2)
try:
    say(up=1)
    input()
finally:
    pool.close()
    say(closed=signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_sigterm_ends_a_program_without_a_handler_and_the_ray_of_its_pool() -> None:
    with start(NO_HANDLER, env={**os.environ, "RAY_ADDRESS": ""}) as driver:
        driver.listen()
        children = driver.children()
        assert children
        driver.process.terminate()
        assert driver.listen() == {"closed": "True"}
        assert driver.process.wait(timeout=60) == 128 + signal.SIGTERM
        wait_for(lambda: not alive(children), "no process of Ray", SOON_S)
