"""The longest wait of the consumer when a host is killed or cut off during an epoch.

usage: python -m tests.figures.hosts [--rounds 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.hosts import Host, Hosts
from tests.cluster.host_loading import loading


def longest_wait_s(fault: Callable[[Host], None]) -> float:
    """Return the longest wait for a batch after `fault` has happened to one of two hosts."""
    with (
        Hosts(workers=2, cpus=2) as hosts,
        tempfile.TemporaryDirectory() as folder,
        loading(hosts, Path(folder)) as loads,
    ):
        fault(hosts.workers[0])
        return float(loads.rest_of_epoch()["longest"])  # this also checks the digest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    for number in range(parser.parse_args().rounds):
        for fault in (Host.kill, Host.cut_off):
            print(
                f"round {number}  {fault.__name__}: longest wait {longest_wait_s(fault):.2f} s,"
                " digest equal"
            )


if __name__ == "__main__":
    main()
