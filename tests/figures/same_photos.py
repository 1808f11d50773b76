"""One digest from files, tar, zip and Parquet, on disk and in S3 with a delay of 30 ms.

    python -m tests.figures.same_photos DIR [--images 2000] [--bad 5] [--delay-ms 30]

Two actors load each form in a shuffled order. Some of the images are truncated, and are skipped.
The S3 server is moto's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import raybatch as rb
from raybatch.stores.listing import find_images
from tests.servers import delayed, s3_filesystem, s3_server
from tests.stores.same_photos import FORMS, opened, upload, write_all


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--bad", type=int, default=5)
    parser.add_argument("--delay-ms", type=float, default=30)
    arguments = parser.parse_args()
    paths = find_images(arguments.folder)[: arguments.images]
    images = [Path(path).read_bytes() for path in paths]
    for number in range(0, len(images), len(images) // arguments.bad):
        images[number] = images[number][:1000]
    with (
        tempfile.TemporaryDirectory() as folder,
        rb.RayActorPool(2, address="local") as pool,
        s3_server() as server,
        delayed(server, arguments.delay_ms / 1e3) as port,
    ):
        write_all(Path(folder), images, per_shard=100, rows=50)
        s3_filesystem(server, allow_bucket_creation=True).create_dir("images")
        upload(Path(folder), s3_filesystem(server), "images/forms")
        remote = {"filesystem": s3_filesystem(port), "io_threads": 16}
        for where, settings in ((folder, {}), ("images/forms", remote)):
            for form in FORMS:
                began = time.perf_counter()
                index = Path(folder, f"{len(settings)}-{form}.arrow")
                accessor = opened(form, where, index, size=(224, 224), **settings)
                source = rb.ArrayDataSource([accessor])
                with rb.Loader(source, 64, shuffle=7, bad_samples="skip", pool=pool) as loader:
                    digest = rb.stream_digest(loader)
                bad, seconds = len(loader.bad_samples), time.perf_counter() - began
                place = "S3" if settings else "here"
                print(f"{place} {form}: {digest[:16]}, {bad} bad, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
