"""Fixtures that several test modules share."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from hypothesis import HealthCheck, settings
from PIL import Image

import raybatch as rb
from tests.servers import http_server, s3_filesystem, s3_server
from tests.session_pool import SessionPool

# The duration of an example says more about the machine than about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Ray runs its workers at niceness 15. On a machine whose cores are all busy with tests, an actor
# would then get a thirtieth of a core, and wait for half a minute.
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.fixture(scope="session", autouse=True)
def sigint() -> None:
    """Ctrl-C for the programs that tests start.

    If a shell runs the tests in the background, they ignore SIGINT, and so would the programs that
    they start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths of 40 small JPEGs of many sizes, smooth with a little noise, named dog_* and cat_*."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(40):
        width, height = (int(edge) for edge in rng.integers(60, 121, size=2))
        coarse = rng.integers(0, 256, size=(5, 6, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + rng.normal(0, 6, size=(height, width, 3))
        path = folder / f"{('dog', 'cat')[number % 2]}_{number:02}.jpg"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)
        paths.append(str(path))
    return paths


@pytest.fixture(scope="session")
def session_ray() -> Iterator[SessionPool]:
    """The pool on the local Ray, with 4 CPUs, that tests share if they need no other Ray.

    The test process starts this Ray before any pool, as a user's program may do.
    """
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        logging_level=logging.ERROR,
        object_store_memory=500 * 2**20,
        # raybatch waits for the end of an actor that it stops. By default, Ray gives the actor 5 s
        # before killing it.
        _system_config={"kill_worker_timeout_milliseconds": 500},
    )
    node: Any = ray._private.worker._global_node
    # No test needs these processes, and together they take a tenth of a processor.
    node.kill_log_monitor(check_alive=False)
    node.kill_dashboard(check_alive=False)
    node.kill_monitor(check_alive=False)
    pool = SessionPool()
    yield pool
    pool.close()
    ray.shutdown()


@pytest.fixture
def ray_cluster(session_ray: SessionPool) -> None:
    """The session's Ray, without any actor."""
    session_ray.close()


@pytest.fixture
def actors(session_ray: SessionPool) -> rb.RayActorPool:
    """Two actors for all tests that need no pool of their own.

    A test that takes `ray_cluster` ends them.
    """
    return session_ray.open()


@pytest.fixture(scope="module")
def s3(photos: list[str]) -> Iterator[int]:
    """The port of an S3 server with the photos in the bucket `images`, below `train set/`."""
    with s3_server() as port:
        store = s3_filesystem(port, allow_bucket_creation=True)
        store.create_dir("images")
        for path in photos:
            with store.open_output_stream(f"images/train set/{Path(path).name}") as stream:
                stream.write(Path(path).read_bytes())
        yield port


@pytest.fixture(scope="module")
def http(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a web server with the photos at its root."""
    state = tmp_path_factory.mktemp("nginx")
    with http_server(Path(photos[0]).parent, state) as port:
        yield f"http://127.0.0.1:{port}"
