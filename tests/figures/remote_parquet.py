"""Images per second of Parquet files on S3 with a delay of 30 ms, shuffled by row groups.

usage: python -m tests.figures.remote_parquet DIR [--images 2000] [--size 224] [--delay-ms 30]
                                                  [--rows-per-group 100] [--rounds 3]

For comparison, it reads the same files from disk, and from the same S3 with pyarrow's own data set,
which reads in order and does not decode. nginx answers Arrow's S3 client, and waits before each
answer; it takes processor time on this machine.

The requests are those in nginx's log. Each actor sends at most one for each row group of an epoch,
and three for each file: two for its size and one for its footer. The program itself sends these
three too.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pyarrow.fs

import raybatch as rb
from raybatch.stores.listing import find_images
from tests.servers import http_server

WINDOW = 4
ACTORS = 2


def rate(paths: Any, size: int, pool: rb.RayActorPool, **where: Any) -> float:
    """Return the images per second of the second epoch, when the actors are up and connected."""
    images = rb.ParquetImageAccessor(paths, size=(size, size), cache_bytes=2**26, **where)
    sampler = rb.BlockShuffleSampler(images.row_group_lengths, window=WINDOW)
    with rb.Loader(
        rb.ArrayDataSource([images], sampler=sampler), 64, shuffle=1, pool=pool
    ) as loader:
        for _ in range(2):
            start = time.perf_counter()
            assert sum(len(x) for (x,) in loader) == len(images)
        return len(images) / (time.perf_counter() - start)


@contextmanager
def counted(log: Path) -> Iterator[Counter[str]]:
    """Count the requests that are logged during the `with` block, by method."""
    start = log.stat().st_size
    requests: Counter[str] = Counter()
    yield requests
    with open(log) as file:
        file.seek(start)
        requests.update(re.findall(r'"(HEAD|GET) [^ ]*\.parquet', file.read()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--delay-ms", type=float, default=30)
    parser.add_argument("--rows-per-group", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    images = find_images(arguments.folder)[: arguments.images]
    with tempfile.TemporaryDirectory() as state, rb.RayActorPool(ACTORS, address="local") as pool:
        root = Path(state, "root")
        (root / "images").mkdir(parents=True)
        files = rb.to_parquet(
            images,
            root / "images" / "train",
            rows_per_group=arguments.rows_per_group,
            rows_per_file=len(images) // 4,
        )
        keys = [os.path.relpath(file, root) for file in files]
        log = Path(state, "access.log")
        with http_server(root, Path(state), arguments.delay_ms / 1e3, log) as port:
            s3 = pyarrow.fs.S3FileSystem(
                anonymous=True,
                region="us-east-1",
                scheme="http",
                endpoint_override=f"127.0.0.1:{port}",
            )
            for _ in range(arguments.rounds):
                here = rate(files, arguments.size, pool)
                print(f"local {here:.0f} images/s", end="", flush=True)
                for threads in (1, 4):
                    with counted(log) as requests:
                        there = rate(keys, arguments.size, pool, filesystem=s3, io_threads=threads)
                    print(
                        f"; S3, {threads} io_threads {there:.0f} ({there / here:.2f};"
                        f" {dict(requests)} in two epochs)",
                        end="",
                        flush=True,
                    )
                start = time.perf_counter()
                with counted(log) as requests:
                    data = pyarrow.dataset.dataset(keys, filesystem=s3)
                    rows = sum(len(batch) for batch in data.to_batches(columns=["image"]))
                print(
                    f"; pyarrow, not decoded {rows / (time.perf_counter() - start):.0f}"
                    f" ({dict(requests)})"
                )


if __name__ == "__main__":
    main()
