"""Traffic between hosts: rates that add up, batches that cross only once, and slow links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.hosts import Hosts
from cluster.slow_link import SlowLink
from tests.cluster.host_loading import given_hosts, program_on

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PROGRAM = """
class Waiting:
    def __init__(self, batches, seconds): self.length, self.seconds = 10 * batches, seconds
    def __len__(self): return self.length
    def __getitem__(self, index):
        time.sleep(self.seconds)
        return np.repeat(np.asarray(index)[:, None], 12500, axis=1)  # 100 kB a row

def rate(selector, batches, seconds, actors=None):
    '''Return batches a second, of those that come when all actors are at work.'''
    pool = rb.RayActorPool(actors, address=sys.argv[1], label_selector={"host": selector})
    with pool, rb.Loader(rb.ArrayDataSource([Waiting(batches, seconds)]), 10, pool=pool) as loader:
        pool.wait_until_up()
        stream, first = iter(loader), 2 * pool.num_actors + 2
        for _ in range(first): next(stream)
        began = time.monotonic()
        rest = sum(1 for _ in stream)
        return rest / (time.monotonic() - began)
"""
BATCH_BYTES = 1_000_000


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with given_hosts(workers=0) as made:
        for name in "abc":
            made.start(2, labels={"host": name})
        made.wait_for(*made.workers)
        yield made


def test_each_host_adds_its_rate(hosts: Hosts) -> None:
    program = """
for selector, batches in (("a", 60), ("in(a, b)", 100), ("in(a, b, c)", 140)):
    say(rate=rate(selector, batches, 0.25))
"""
    with program_on(hosts.head, PROGRAM + program, hosts.address) as driver:
        one, two, three = (float(driver.listen()["rate"]) for _ in range(3))
    assert two > one + 0.9 * one
    assert three > two + 0.9 * one


def test_a_batch_crosses_the_network_once_and_the_source_once_to_each_host(hosts: Hosts) -> None:
    batches, source_bytes = 100, 20_000_000
    program = f"""
class Heavy(Waiting):
    payload = None

source = Heavy({batches}, 0.0)
source.payload = np.ones({source_bytes}, np.uint8)
with rb.RayActorPool(4, address=sys.argv[1], label_selector={{"host": "in(a, b)"}}) as pool:
    pool.wait_until_up()
    say(up=1)
    input()
    # A batch that seemed late on a busy machine would be made again, and cross twice.
    recovery = rb.Recovery(hedge_after=1000)
    with rb.Loader(rb.ArrayDataSource([source]), 10, pool=pool, recovery=recovery) as loader:
        for batch in loader: pass
say(done=1)
"""
    receivers = [hosts.head, *hosts.workers[:2]]
    with program_on(hosts.head, PROGRAM + program, hosts.address) as driver:
        driver.listen()
        before = [host.bytes_received() for host in receivers]
        driver.go_on()
        driver.listen()
        after = [host.bytes_received() for host in receivers]
    to_head, *to_workers = (now - then for now, then in zip(after, before, strict=True))
    all_bytes = batches * BATCH_BYTES
    # At the end of the epoch, a window of batches of the next epoch is made ahead.
    assert all_bytes <= to_head < 1.03 * (batches + 10) * BATCH_BYTES
    # Each host has two actors, but receives the source once. The rest is indices and TCP
    # acknowledgements.
    assert all(source_bytes <= each < source_bytes + 0.05 * all_bytes for each in to_workers)


def test_results_come_while_the_consumer_works(hosts: Hosts) -> None:
    """The consumer takes 0.2 s per batch and the link 0.1 s, so only the first batches are late."""
    hosts.add(2, labels={"host": "slower"}, link=SlowLink(delay_s=0.02, bits_per_s=100e6))
    program = """
pool = rb.RayActorPool(address=sys.argv[1], label_selector={"host": "slower"})
with pool, rb.Loader(rb.ArrayDataSource([Waiting(40, 0.01)]), 10, pool=pool) as loader:
    stream, waits = iter(loader), []
    for _ in range(40):
        began = time.monotonic()
        next(stream)
        waits.append(time.monotonic() - began)
        time.sleep(0.2)
say(nearly_all=sorted(waits[10:])[-4])
"""
    with program_on(hosts.head, PROGRAM + program, hosts.address) as driver:
        assert float(driver.listen()["nearly_all"]) < 0.05


def test_a_slow_link_is_used_to_the_full(hosts: Hosts) -> None:
    link = SlowLink(delay_s=0.02, bits_per_s=100e6)
    hosts.add(2, labels={"host": "slow"}, link=link)
    program = "say(rate=rate('slow', 100, 0.01))"
    before = hosts.head.bytes_received()
    with program_on(hosts.head, PROGRAM + program, hosts.address) as driver:
        rate = float(driver.listen()["rate"])
    # The slow link must not make a batch seem late, or the batch would be made again.
    assert hosts.head.bytes_received() - before < 1.05 * (100 + 6) * BATCH_BYTES
    assert 0.85 * link.bits_per_s < 8 * BATCH_BYTES * rate < link.bits_per_s
