"""The longest wait and the memory while hosts fail, join and leave at random.

usage: python -m tests.figures.soak [--minutes 10] [--seed 0] [--plot PNG]

Each epoch is compared with that of a serial loader.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cluster.hosts import Hosts
from tests.cluster.host_loading import loading
from tests.cluster.soak import Memory, soak


def plot(memory: list[Memory], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for name in ("driver", "actors", "store"):
        axes.plot([m.at_s for m in memory], [getattr(m, name) for m in memory], label=name)
    axes.set_xlabel("seconds")
    axes.set_ylabel("MB")
    axes.set_ylim(0)
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    with (
        Hosts(workers=3, cpus=2) as hosts,
        tempfile.TemporaryDirectory() as folder,
        loading(hosts, Path(folder), None) as loads,
    ):
        record = soak(hosts, loads, 60 * arguments.minutes, arguments.seed)
    waits = sorted(record.waits)
    print("faults:", ", ".join(f"{count} {name}" for name, count in sorted(record.faults.items())))
    print(
        f"{len(waits)} epochs of 200 batches, each as the serial one; longest wait of an epoch: "
        f"median {waits[len(waits) // 2]:.2f} s, of all {waits[-1]:.2f} s"
    )
    print("    s  MB: driver  actors  store")
    step = max(1, len(record.memory) // 20)
    for at in record.memory[::step]:
        print(f"{at.at_s:5.0f}  {at.driver:10.0f}  {at.actors:6.0f}  {at.store:5.0f}")
    if arguments.plot is not None:
        plot(record.memory, arguments.plot)


if __name__ == "__main__":
    main()
