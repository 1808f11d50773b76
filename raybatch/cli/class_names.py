"""The option `--classes`: number the classes as another folder or file does."""

from __future__ import annotations

import os
from pathlib import Path

import click

from raybatch.accessors.manifest import is_packed, load_manifest
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import numbered
from raybatch.stores.location import Location


def class_list(path: str) -> list[str]:
    """Return the names of the classes, in order.

    They come from a folder, from packed files, from an `ImageList`, or from the lines of a text
    file.
    """
    try:
        if "://" in path or os.path.isdir(path):
            packed = "://" not in path and is_packed(path)
            known = load_manifest(Path(path)).classes if packed else Location(path).folders()
        elif path.endswith(".parquet"):
            known = ImageList.load(path).classes
        else:
            lines = Path(path).read_bytes().splitlines()
            known = [os.fsdecode(line.strip()) for line in lines if line.strip()]
        if not known:
            raise ValueError("it is empty")
        return numbered(known, ())
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path!r} does not name classes: {error}") from error


classes_option = click.option(
    "--classes",
    type=class_list,
    metavar="PATH",
    help=(
        "Number the classes as this folder or file does: a folder of class folders, a packed"
        " folder, a list of images (.parquet), or a text file with one name per line.  [default:"
        " the classes of IMAGES, sorted]"
    ),
)
