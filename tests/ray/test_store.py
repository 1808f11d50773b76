"""Ray's object store: no batch is written to disk, and batches that are too large are reported."""

from __future__ import annotations

import pytest

from tests.drivers import start

# A store of 100 MB, and batches that could fill it. After two batches, the consumer waits until all
# batches that may be made ahead are finished.
PROGRAM = """
import glob, logging, ray

class Big:
    def __init__(self, nbytes): self.nbytes = nbytes
    def __len__(self): return 16
    def __getitem__(self, index): return np.ones((len(index), self.nbytes), np.uint8)

class Heard(logging.Handler):
    def emit(self, record): messages.append(record.getMessage())

def spilled():
    # What Ray wrote to disk, and what it made there since the store was full.
    node = ray.nodes()[0]["NodeID"]
    return len(glob.glob(f"{folder}/ray_spilled_objects_{node}/*"))

messages = []
logging.getLogger("raybatch").addHandler(Heard())
context = ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
                   object_store_memory=100 * 2**20)
folder = ray._private.worker.global_worker.node.get_session_dir_path()
source = rb.ArrayDataSource([Big(NBYTES)])
with rb.RayActorPool(2) as pool, rb.Loader(source, 1, pool=pool, prefetch=PREFETCH) as loader:
    batches = iter(loader)
    first = [next(batches)[0], next(batches)[0]]
    running = list(batches._stream._session._placement.running)
    if running:
        ray.wait(running, num_returns=len(running), timeout=30, fetch_local=False)
    count = len(first) + sum(1 for _ in batches)
said = any("object_store_memory" in message for message in messages)
say(count=count, spilled=spilled(), said=said)
"""


def run(nbytes: int, prefetch: str = "None") -> dict[str, str]:
    program = PROGRAM.replace("NBYTES", str(nbytes)).replace("PREFETCH", prefetch)
    with start(program) as driver:
        return driver.listen()


def test_what_is_made_ahead_fits_the_store() -> None:
    assert run(10_000_000) == {"count": "16", "spilled": "0", "said": "False"}


@pytest.mark.slow
def test_without_a_limit_ray_would_write_to_disk() -> None:
    assert int(run(10_000_000, "rb.Prefetch(16)")["spilled"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("nbytes", [50_000_000, 120_000_000])
def test_a_batch_too_large_is_delivered_and_said_to_be(nbytes: int) -> None:
    said = run(nbytes)
    assert said["count"] == "16"
    assert said["said"] == "True"


def test_the_store_of_a_ray_of_the_pools_own_is_used_again_at_once() -> None:
    program = """
import psutil

class Big:
    def __len__(self): return 400
    def __getitem__(self, index): return np.ones((len(index), 1_000_000), np.uint8)

source = rb.ArrayDataSource([Big()])
with rb.RayActorPool(2) as pool, rb.Loader(source, 1, pool=pool, prefetch=rb.Prefetch(8)) as loader:
    for images in loader:
        assert images[0].all()
    maps = psutil.Process().memory_maps(grouped=False)
    say(seen=sum(area.rss for area in maps if "plasma" in area.path))
"""
    with start(program) as driver:
        seen = int(driver.listen()["seen"])
    # The window, and the batches that wait for deletion. By default, Ray would let up to a hundred
    # batches wait.
    assert 8_000_000 < seen < 60_000_000
