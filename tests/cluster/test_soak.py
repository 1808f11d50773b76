"""Loading while hosts are killed, cut off, healed, added and drained at random.

The program tests/figures/soak.py does the same for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.host_loading import given_hosts, loading
from tests.cluster.soak import soak

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

SECONDS = 30.0
# The longest time that the consumer may wait; several hosts may be lost in a row.
MAX_WAIT_S = 15.0


def test_the_stream_stays_the_serial_one_whatever_happens_to_the_hosts(tmp_path: Path) -> None:
    with given_hosts(workers=3, cpus=2) as hosts, loading(hosts, tmp_path, None) as loads:
        record = soak(hosts, loads, SECONDS, seed=0)
    assert len(record.faults) >= 3
    assert len(record.waits) >= 3
    assert max(record.waits) < MAX_WAIT_S
