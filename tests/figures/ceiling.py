"""Images per second through two Ray actors, compared with two plain loops in two processes.

usage: python -m tests.figures.ceiling DIR [--edge 224] [--rounds 6] [--epochs 3]
                                           [--loop pillow|accessor] [--plain]

The loops do not hand their batches to another process. They use plain Pillow, or the accessor
itself; with the accessor, the ratio shows the cost of handing batches over. With --plain, the
actors do without the compiled kernel.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import raybatch as rb
from raybatch.stores.listing import find_images

ACCESSOR_LOOP = """
import sys
import numpy as np
import raybatch as rb
edge, *paths = sys.stdin.readline().rstrip("\\n").split("\\t")
images = rb.ImageFileAccessor(paths, (int(edge), int(edge)))
images[np.arange(1)]
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, len(paths), 64):
    images[np.arange(start, min(start + 64, len(paths)))]
print("done", flush=True)
"""

PLAIN_LOOP = """
import sys
import numpy as np
from PIL import Image
edge, *paths = sys.stdin.readline().rstrip("\\n").split("\\t")
size = (int(edge), int(edge))
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, len(paths), 64):
    np.stack([
        np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR))
        for path in paths[start : start + 64]
    ])
print("done", flush=True)
"""


LOOPS = {"pillow": PLAIN_LOOP, "accessor": ACCESSOR_LOOP}


def plain_loops(paths: list[str], edge: int, program: str = PLAIN_LOOP) -> float:
    """Return the images per second of two processes side by side, each with half of `paths`."""
    loops = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for half, loop in enumerate(loops):
        tell(loop, "\t".join([str(edge), *paths[half::2]]))
        hear(loop)
    began = time.perf_counter()
    for loop in loops:
        tell(loop, "go")
    for loop in loops:
        hear(loop)
    seconds = time.perf_counter() - began
    for loop in loops:
        loop.communicate()
    return len(paths) / seconds


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


def whole_epochs(loader: rb.Loader, epochs: int) -> float:
    """Return the images per second of several epochs, with no batch made before they begin.

    Batches made ahead for the epoch after the last one cost time, but do not count.
    """
    loader.set_epoch(loader.epoch + 1)
    began = time.perf_counter()
    images = sum(len(x) for _ in range(epochs) for (x,) in loader)
    return images / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir")
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--loop", choices=LOOPS, default="pillow")
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    if arguments.plain:  # the actors inherit this environment
        os.environ["RAYBATCH_KERNEL"] = "none"
    program = LOOPS[arguments.loop]
    paths = find_images(arguments.dir)
    edge = arguments.edge
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (edge, edge))])
    with rb.Loader(source, 64, shuffle=0, pool=rb.RayActorPool(2)) as loader:
        whole_epochs(loader, 1)
        ratios = []
        for _ in range(arguments.rounds):
            loader.set_epoch(loader.epoch + 1)
            time.sleep(1)  # the actors finish the batches that they make ahead
            ceiling = plain_loops(paths, edge, program)
            ours = whole_epochs(loader, arguments.epochs)
            ratios.append(ours / ceiling)
            print(f"loops {ceiling:.0f}/s   actors {ours:.0f}/s   ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
