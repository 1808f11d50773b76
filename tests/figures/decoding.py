"""Speed and quality of scaled decoding, and results of the reader for mutated and other files.

usage: python -m tests.figures.decoding scaled DIR [--count 100]
       python -m tests.figures.decoding fuzz [--inputs 50000]
       python -m tests.figures.decoding files DIR

`scaled` reads photographs of any size. `files` reads any files, and compares their pixels or errors
with Pillow's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import time
from pathlib import Path

import numpy as np
from PIL import Image

import raybatch as rb
from raybatch.errors import ImageReadError
from raybatch.image.reader import FORMATS, ImageReader
from raybatch.stores.listing import find_images
from tests.images.test_decoding import encoded, mutated, photograph, psnr

MARGINS = (1.0, 1.5, 2.0)


def scaled(folder: str, count: int) -> None:
    """Print images per second on one core at three sizes, and the difference from exact pixels."""
    files = [Path(path).read_bytes() for path in find_images(folder)[:count]]
    for size in (64, 128, 224):
        readers = {"exact": ImageReader((size, size))}
        for margin in MARGINS:
            name = f"margin {margin:g}"
            readers[name] = ImageReader((size, size), decode="scaled", scale_margin=margin)
        exact = [np.asarray(readers["exact"].read(io.BytesIO(data)), float) for data in files]
        for name, reader in readers.items():
            start = time.perf_counter()
            images = [reader.read(io.BytesIO(data)) for data in files]
            rate = len(files) / (time.perf_counter() - start)
            quality = ""
            if name != "exact":
                pairs = list(zip(images, exact, strict=True))
                near = [psnr(image, wanted) for image, wanted in pairs]
                off = np.mean(
                    [np.abs(np.asarray(image) - wanted).mean() for image, wanted in pairs]
                )
                quality = (
                    f"  PSNR {np.mean(near):.1f} dB, worst {min(near):.1f}; mean difference"
                    f" {off:.2f}"
                )
            print(f"{size:4d} pixels  {name:10s} {rate:6.0f} images/s{quality}")


def fuzz(inputs: int) -> None:
    """Read mutated files of every allowed format.

    Print how many of them can be read, the longest time and the peak memory.
    """
    reader = ImageReader((16, 16), decode="scaled", exif_orientation=True, max_pixels=1_000_000)
    rng = np.random.default_rng(0)
    for format_name in FORMATS:
        whole = encoded(photograph(60, 40), format_name)
        good, longest = 0, 0.0
        for _ in range(-(-inputs // len(FORMATS))):
            data = mutated(whole, rng)
            start = time.perf_counter()
            with contextlib.suppress(ImageReadError):
                good += reader.read(io.BytesIO(data)).size == (16, 16)
            longest = max(longest, time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(
            f"{format_name:9s} {-(-inputs // len(FORMATS))} inputs, {good} gave pixels, "
            f"longest {longest * 1e3:.0f} ms, peak {peak:.0f} MB",
            flush=True,
        )


def files(folder: str) -> None:
    """Read every file below `folder`, and compare the results with Pillow's.

    Also compare the bad samples and the digest of two actors with those of a serial loader.
    """
    paths = sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
    accessor = rb.ImageFileAccessor(paths, (32, 32))
    source = rb.ArrayDataSource([accessor, np.arange(len(paths))])
    alone = rb.Loader(source, 16, bad_samples="skip")
    pixels = {int(i): x for batch in alone for x, i in zip(*batch, strict=True)}
    longest, differ = 0.0, []
    for index, path in enumerate(paths):
        start = time.perf_counter()
        try:
            with Image.open(path, formats=FORMATS) as image:
                image.load()
                small = image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
            wanted = small.tobytes()
        except Exception:
            wanted = None
        longest = max(longest, time.perf_counter() - start)
        got = pixels.get(index)
        if wanted != (None if got is None else got.tobytes()):
            differ.append(path)
    print(f"{len(paths)} files: {len(pixels)} gave pixels, {len(alone.bad_samples)} errors")
    print(f"unlike Pillow: {differ}")
    with rb.RayActorPool(2) as pool:
        with rb.Loader(source, 16, pool=pool, bad_samples="skip") as loader:
            digest = rb.stream_digest(loader)
            print("ledgers equal:", list(loader.bad_samples) == list(alone.bad_samples))
            print(
                "digests equal:",
                digest == rb.stream_digest(rb.Loader(source, 16, bad_samples="skip")),
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["scaled", "fuzz", "files"])
    parser.add_argument("folder", nargs="?", default=".")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--inputs", type=int, default=50_000)
    arguments = parser.parse_args()
    if arguments.what == "scaled":
        scaled(arguments.folder, arguments.count)
    elif arguments.what == "fuzz":
        fuzz(arguments.inputs)
    else:
        files(arguments.folder)


if __name__ == "__main__":
    main()
