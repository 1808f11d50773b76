"""What one batch of eight images passes through, without a pool: files, functions, and the depth of calls.

usage: python -m tests.figures.one_batch [--list]

Counted is what one `next()` of a serial loader over an ImageFileAccessor calls of raybatch: code objects, those of
comprehensions and generators included, and the files they lie in. A stack is as deep as it has frames whose code lies in
raybatch. The batch is the second, when all is warm. On another version:
`PYTHONPATH=CHECKOUT PYTHON tests/figures/one_batch.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
from PIL import Image

import raybatch as rb

BATCH_SIZE = 8
PACKAGE = str(Path(rb.__file__).parent) + "/"


def loader_over_images(folder: Path) -> rb.Loader:
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{number}.jpg") for number in range(3 * BATCH_SIZE)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(path)
    return rb.Loader(
        rb.ArrayDataSource([rb.ImageFileAccessor(paths, size=(64, 64))]), BATCH_SIZE, shuffle=0
    )


class Calls:
    """What a profile hook sees of raybatch: the code entered, and the deepest stack."""

    def __init__(self) -> None:
        self.entered: set[CodeType] = set()
        self.deepest: list[CodeType] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        self.entered.add(frame.f_code)
        stack: list[CodeType] = []
        caller: FrameType | None = frame
        while caller is not None:
            if caller.f_code.co_filename.startswith(PACKAGE):
                stack.append(caller.f_code)
            caller = caller.f_back
        if len(stack) > len(self.deepest):
            self.deepest = stack[::-1]

    @property
    def files(self) -> list[str]:
        return sorted({shown_file(code) for code in self.entered})


def shown_file(code: CodeType) -> str:
    return code.co_filename.removeprefix(PACKAGE)


def calls_of_one_batch() -> Calls:
    """Return what the second `next()` of a serial loader calls."""
    calls = Calls()
    with tempfile.TemporaryDirectory() as folder:
        iterator = iter(loader_over_images(Path(folder)))
        next(iterator)
        sys.setprofile(calls)
        try:
            next(iterator)
        finally:
            sys.setprofile(None)
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--list", action="store_true", help="the files and the deepest stack too")
    arguments = parser.parse_args()
    calls = calls_of_one_batch()
    print(
        f"{len(calls.files)} files, {len(calls.entered)} functions, {len(calls.deepest)} frames deep"
    )
    if arguments.list:
        print("\nFiles:", *calls.files, sep="\n    ")
        stack = [f"{shown_file(code)}: {code.co_name}" for code in calls.deepest]
        print("\nThe deepest stack:", *stack, sep="\n    ")


if __name__ == "__main__":
    main()
