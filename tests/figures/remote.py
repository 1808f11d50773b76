"""Images a second over S3 whose every request takes 30 ms longer, beside those of the same files here.

usage: python -m tests.figures.remote DIR [--images 2000] [--size 224] [--delay-ms 30] [--io-threads 1,16,64]

nginx answers Arrow's S3 client, which asks twice for each image (HEAD, GET), through a relay that holds back what comes
from the client. Both run on this machine, so the cores they take are missing where images are decoded.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.fs

import raybatch as rb
from raybatch.accessors import find_images
from tests.servers import http_server

BUCKET = "images"


async def relay(listening: socket.socket, port: int, delay_s: float) -> None:
    """Connect each client to `port`, and pass on what it sends `delay_s` later."""
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)

        async def answer() -> None:
            while data := await from_server.read(2**18):
                writer.write(data)

        answering = asyncio.ensure_future(answer())
        while data := await reader.read(2**16):
            loop.call_later(delay_s, to_server.write, data)
        answering.cancel()
        to_server.close()
        writer.close()

    async with await asyncio.start_server(serve, sock=listening) as server:
        await server.serve_forever()


def run_relay(listening: socket.socket, port: int, delay_s: float) -> None:
    asyncio.run(relay(listening, port, delay_s))


def rate(paths: list[str], size: int, pool: rb.RayActorPool, **where: Any) -> float:
    """Return the images a second of one epoch of a pool that is up."""
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (size, size), **where)])
    with rb.Loader(source, 64, pool=pool) as loader:
        batches = iter(loader)
        images = len(next(batches)[0])  # the actors have connected
        start = time.perf_counter()
        taken = sum(len(x) for (x,) in batches)
        assert images + taken == len(paths)
        return taken / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--delay-ms", type=float, default=30)
    parser.add_argument("--io-threads", default="1,16,64")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    paths = find_images(arguments.folder)[: arguments.images]
    with tempfile.TemporaryDirectory() as state, rb.RayActorPool(2, address="local") as pool:
        root = Path(state, "root")
        (root / BUCKET).mkdir(parents=True)
        for path in paths:
            os.symlink(os.path.abspath(path), root / BUCKET / Path(path).name)
        with http_server(root, Path(state)) as port, socket.create_server(("127.0.0.1", 0)) as door:
            relaying = multiprocessing.get_context("fork").Process(
                target=run_relay, args=(door, port, arguments.delay_ms / 1e3), daemon=True
            )
            relaying.start()
            s3 = pyarrow.fs.S3FileSystem(
                anonymous=True,
                region="us-east-1",
                scheme="http",
                endpoint_override=f"127.0.0.1:{door.getsockname()[1]}",
            )
            keys = [f"{BUCKET}/{Path(path).name}" for path in paths]
            for _ in range(arguments.rounds):
                here = rate(paths, arguments.size, pool)
                print(f"local files {here:.0f} images/s", end="", flush=True)
                for threads in map(int, arguments.io_threads.split(",")):
                    there = rate(keys, arguments.size, pool, filesystem=s3, io_threads=threads)
                    print(
                        f"; {threads} io_threads {there:.0f} ({there / here:.2f})",
                        end="",
                        flush=True,
                    )
                print()
            relaying.kill()
            relaying.join()


if __name__ == "__main__":
    main()
