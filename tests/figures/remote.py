"""Images per second over S3 with a delay of 30 ms, compared with the same files on disk.

usage: python -m tests.figures.remote DIR [--images 2000] [--size 224] [--delay-ms 30]
                                          [--io-threads 1,16,64] [--rounds 3] [--cache]

With --cache, it also measures a `DiskCache`: two epochs that begin with an empty cache, two more as
in the next program, and all four again with a cache that holds half of the files.

nginx answers Arrow's S3 client, and waits before each answer. The client sends two requests per
image, HEAD and GET. nginx and the client take processor time on this machine, which decoding then
lacks.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.fs

import raybatch as rb
from raybatch.stores.listing import find_images
from tests.servers import http_server

BUCKET = "images"


def rates(
    paths: list[str], size: int, pool: rb.RayActorPool, epochs: int = 1, **where: Any
) -> list[float]:
    """Return the images per second of each epoch, on a pool that is up."""
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (size, size), **where)])
    found = []
    with rb.Loader(source, 64, shuffle=0, pool=pool) as loader:
        for _ in range(epochs):
            batches = iter(loader)
            images = len(next(batches)[0])  # the actors are connected now
            start = time.perf_counter()
            taken = sum(len(x) for (x,) in batches)
            assert images + taken == len(paths)
            found.append(taken / (time.perf_counter() - start))
    return found


def with_cache(folder: str, total_bytes: int, **epoch: Any) -> None:
    """Print the images per second with new caches in `folder`."""
    for name, part in (("a cache", 1.1), ("a cache of half", 0.5)):
        # For some seconds after many files were removed, ext4 makes new ones slowly.
        directory = tempfile.mkdtemp(dir=folder)
        for program in ("first", "next"):
            cache = rb.DiskCache(directory, int(total_bytes * part))
            found = rates(epochs=2, cache=cache, **epoch)
            print(f"; {name}, {program} program {found[0]:.0f}, {found[1]:.0f}", end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--delay-ms", type=float, default=30)
    parser.add_argument("--io-threads", default="1,16,64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", action="store_true")
    arguments = parser.parse_args()
    paths = find_images(arguments.folder)[: arguments.images]
    total_bytes = sum(map(os.path.getsize, paths))
    with tempfile.TemporaryDirectory() as state, rb.RayActorPool(2, address="local") as pool:
        root = Path(state, "root")
        (root / BUCKET).mkdir(parents=True)
        for path in paths:
            os.symlink(os.path.abspath(path), root / BUCKET / Path(path).name)
        with http_server(root, Path(state), arguments.delay_ms / 1e3) as port:
            s3 = pyarrow.fs.S3FileSystem(
                anonymous=True,
                region="us-east-1",
                scheme="http",
                endpoint_override=f"127.0.0.1:{port}",
            )
            keys = [f"{BUCKET}/{Path(path).name}" for path in paths]
            for _ in range(arguments.rounds):
                (here,) = rates(paths, arguments.size, pool)
                print(f"local files {here:.0f} images/s", end="", flush=True)
                for threads in map(int, arguments.io_threads.split(",")):
                    (there,) = rates(keys, arguments.size, pool, filesystem=s3, io_threads=threads)
                    print(
                        f"; {threads} io_threads {there:.0f} ({there / here:.2f})",
                        end="",
                        flush=True,
                    )
                    if arguments.cache:
                        with_cache(
                            state,
                            total_bytes,
                            paths=keys,
                            size=arguments.size,
                            pool=pool,
                            filesystem=s3,
                            io_threads=threads,
                        )
                print()


if __name__ == "__main__":
    main()
