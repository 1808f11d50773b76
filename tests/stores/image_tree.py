"""A tree of images in class folders, with names and files of many kinds."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pyarrow.fs

NAMES = [
    "dog/a.JPG",
    "dog/more/b.png",
    "dog/more/deep/c.jpeg",
    "dog/readme.txt",
    "dog/.hidden.jpg",
    "dog/.jpg",
    "cat/c d%20.jpg",
    "cat/[x].jpg",
    "cat/é.webp",
    "cat-b/a1.jpg",
    "cat-b/a2.jpg",
    "cat-b.jpg/z.jpg",
    ".cache/x.jpg",
    "dog/.ipynb_checkpoints/a-checkpoint.jpg",
    "__MACOSX/dog/._a.jpg",
    "empty/none.csv",
]
HIDDEN = {name for name in NAMES if "/." in f"/{name}"}
IMAGES = sorted(set(NAMES) - HIDDEN - {"dog/readme.txt", "empty/none.csv"})
CLASSES = ["cat", "cat-b", "cat-b.jpg", "dog", "empty"]


def write_tree(root: Path, photos: list[str]) -> Path:
    """Write the tree below `root`; each file has the bytes of a different photo."""
    for name, photo in zip(NAMES, photos, strict=False):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path(photo).read_bytes())
    return root


def upload(
    tree: Path, filesystem: pyarrow.fs.FileSystem | fsspec.AbstractFileSystem, root: str
) -> None:
    """Copy the tree to `root` in a file system."""
    for name in NAMES:
        data = (tree / name).read_bytes()
        if isinstance(filesystem, pyarrow.fs.FileSystem):
            filesystem.create_dir(os.path.dirname(f"{root}/{name}"))
            with filesystem.open_output_stream(f"{root}/{name}") as stream:
                stream.write(data)
        else:
            filesystem.pipe_file(f"{root}/{name}", data)
