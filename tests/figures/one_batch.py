"""The files and functions of raybatch that one serial batch calls, and its deepest stack.

usage: python -m tests.figures.one_batch [--list]

The first and the second batch of a loader without a pool are each made under a profile hook. A
batch has 8 image files. Another loader runs before, so that all modules are imported already. Only
the code of the package counts:

    files       distinct files with a function that is called
    functions   distinct functions that are called, including comprehensions
    frames      the deepest stack, without the frames of other libraries

`PYTHONPATH=OTHER_CHECKOUT OTHER_PYTHON tests/figures/one_batch.py` measures another version.
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

PACKAGE = str(Path(rb.__file__).parent)


class Entered:
    """A profile hook that collects the code of raybatch that is called."""

    def __init__(self) -> None:
        self.codes: set[CodeType] = set()
        self.deepest: list[CodeType] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and _is_own(frame.f_code):
            self.codes.add(frame.f_code)
            stack = _own_stack(frame)
            if len(stack) > len(self.deepest):
                self.deepest = stack

    def files(self) -> list[str]:
        return sorted({_file(code) for code in self.codes})


def _is_own(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE)


def _file(code: CodeType) -> str:
    return str(Path(code.co_filename).relative_to(PACKAGE))


def _name(code: CodeType) -> str:
    return f"{_file(code)}: {code.co_name}, line {code.co_firstlineno}"


def _own_stack(frame: FrameType | None) -> list[CodeType]:
    """Return the code of raybatch's frames, from the outermost frame to `frame`."""
    stack = []
    while frame is not None:
        if _is_own(frame.f_code):
            stack.append(frame.f_code)
        frame = frame.f_back
    return stack[::-1]


def one_batch(source: rb.ArrayDataSource, before: int) -> Entered:
    """Return the code that a loader's batch enters, after `before` other batches."""
    entered = Entered()
    with rb.Loader(source, 8, shuffle=1) as loader:
        batches = iter(loader)
        for _ in range(before):
            next(batches)
        sys.setprofile(entered)
        try:
            next(batches)
        finally:
            sys.setprofile(None)
    return entered


def image_files(folder: str) -> rb.ArrayDataSource:
    rng = np.random.default_rng(0)
    paths = [str(Path(folder, f"{number}.jpg")) for number in range(24)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(path)
    return rb.ArrayDataSource([rb.ImageFileAccessor(paths, size=(64, 64)), np.arange(len(paths))])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the files and the deepest stack")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = image_files(folder)
        one_batch(source, 0)
        for name, before in (("first", 0), ("second", 1)):
            entered = one_batch(source, before)
            files = entered.files()
            print(
                f"{name} batch: {len(files)} files, {len(entered.codes)} functions,"
                f" {len(entered.deepest)} frames deep"
            )
            if arguments.list:
                print("files:", *files, sep="\n    ")
                print("the deepest stack:", *map(_name, entered.deepest), sep="\n    ")


if __name__ == "__main__":
    main()
