"""The wait between two epochs, compared with the median wait between two batches.

usage: python -m tests.figures.epoch_gap DIR [--edge 224] [--epochs 12] [--batches 20]

DIR holds photographs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import raybatch as rb
from raybatch.stores.listing import find_images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir")
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batches", type=int, default=20, help="batches of 64 an epoch")
    arguments = parser.parse_args()
    paths = find_images(arguments.dir)[: 64 * arguments.batches]
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (arguments.edge, arguments.edge))])
    within: list[float] = []
    between: list[float] = []
    with rb.Loader(source, 64, shuffle=0, pool=rb.RayActorPool(2)) as loader:
        for _ in loader:
            pass
        last = None
        for _ in range(arguments.epochs):
            gaps = within if last is None else between
            for _ in loader:
                now = time.perf_counter()
                if last is not None:
                    gaps.append(now - last)
                last, gaps = now, within
    median = statistics.median(within)
    ratio = statistics.median(between) / median
    print(
        f"between batches {median * 1e3:.1f} ms in the median, between epochs "
        f"{' '.join(f'{gap * 1e3:.1f}' for gap in between)} ms: median ratio {ratio:.2f}, "
        f"mean over mean {statistics.mean(between) / statistics.mean(within):.2f}"
    )


if __name__ == "__main__":
    main()
