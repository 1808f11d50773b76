"""The argument IMAGES: image files, shards, Parquet files, a saved list or packed files."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import click
import numpy as np
import pyarrow.parquet

from raybatch.accessors.image_files import ImageFileAccessor, NonUniformImageFileAccessor
from raybatch.accessors.manifest import is_packed, load_manifest
from raybatch.accessors.mds_shards import MDSShards
from raybatch.accessors.packed import PackedAccessor
from raybatch.accessors.parquet import ParquetImageAccessor
from raybatch.accessors.shards import TarShards, ZipShards
from raybatch.cli.named_images import DEFAULT_SIZE, Labels, NamedImages
from raybatch.cli.options import CannotRunError
from raybatch.image.augment.presets import PRESETS
from raybatch.image.augment.resize import Resize
from raybatch.image.reader import ImageReader
from raybatch.stores.braces import shard_paths
from raybatch.stores.disk_cache import DiskCache
from raybatch.stores.image_list import ImageList
from raybatch.stores.listing import Search, is_image_name
from raybatch.stores.location import Location, Locations
from raybatch.stores.paths import path_names
from raybatch.stores.url_files import is_url

Command = TypeVar("Command", bound=Callable[..., Any])

FORMS = (
    "IMAGES is a folder of image files; a pattern such as 'train/*/*.jpg'; tar, zip or MDS shards"
    " such as 'train-{000..099}.tar', or a folder of them; Parquet files or a folder of them; a"
    " list that `ImageList.save` wrote; or a folder that `raybatch pack` wrote. All but the last"
    " two can be URLs."
)
_SHARDS: dict[str, Any] = {".tar": TarShards, ".zip": ZipShards, ".mds": MDSShards}
_PARQUET = ".parquet"
_MAGIC = re.compile(r"[*?\[{]")
# Numbers up to this are class indices; larger ones are names, such as customer ids.
_MOST_CLASSES = 100_000
_DEFAULTS = {each.name: each.default for each in dataclasses.fields(ImageReader)} | {
    "io_threads": 1,
    "truncated": "error",
}


def images_argument(command: Command) -> Command:
    """Add the argument IMAGES, passed on as `given`, and describe it in the help."""
    command.__doc__ = f"{command.__doc__}\n\n    {FORMS}\n    "
    return click.argument("given", metavar="IMAGES")(command)


def images_named(given: str, cache: DiskCache | None = None) -> NamedImages:
    """Return the images that `given` names; `cache` keeps the bytes of those at URLs.

    Raises CannotRunError if there are none; the message says what is there instead.
    """
    if not given:  # An unset variable of a shell must not load the working directory.
        raise CannotRunError(f"IMAGES is empty. {FORMS}")
    given = given if is_url(given) else _normal(given)
    try:
        return (_of_folder if _is_folder(given) else _of_files)(given, cache)
    except (ImportError, TypeError, ValueError) as error:
        raise CannotRunError(str(error)) from error


def _normal(path: str) -> str:
    """Return `path` without `./` and `x/../`, if that names the same folder or file."""
    short = os.path.normpath(path)
    if short == os.curdir:
        return os.getcwd()  # Its files would be called `/folder/./name`.
    if os.pardir not in Path(path).parts:
        return short
    # After a link to a folder, `..` leads elsewhere.
    is_same = os.path.exists(path) and os.path.exists(short) and os.path.samefile(path, short)
    return short if is_same else path


def _is_folder(given: str) -> bool:
    path, _ = Location(given).split_query()
    if is_url(given):
        is_file = is_image_name(path) or PurePosixPath(path).suffix.lower() in {*_SHARDS, _PARQUET}
        return not (is_file or _MAGIC.search(path))
    return os.path.isdir(given)


def _of_folder(given: str, cache: DiskCache | None) -> NamedImages:
    if not is_url(given) and is_packed(given):
        if cache is not None:
            raise CannotRunError("--cache has no effect here: packed images are on this machine")
        return _packed(given)
    search = Search(Location(given))
    try:
        paths = search.paths()
    except FileNotFoundError as error:
        for suffix in (*_SHARDS, _PARQUET):
            if search.left_out[suffix]:
                # On this machine, pass the folder itself: its name may look like a pattern.
                where = search.folder.join([f"*{suffix}"])[0] if is_url(given) else given
                return _of_shards(given, suffix, shard_paths(where, suffix), cache)
        raise CannotRunError(f"{error}. {FORMS}") from error
    named = image_files(given, search.folder, paths, cache)
    left_out = dict(search.left_out.most_common())
    return dataclasses.replace(named, folder=search.folder, left_out=left_out)


def _of_files(given: str, cache: DiskCache | None) -> NamedImages:
    path, query = Location(given).split_query()
    magic = _MAGIC.search(path)
    if magic is None and not is_url(given) and not os.path.exists(given):
        raise CannotRunError(f"there is no file or folder {given!r}. {FORMS}")
    paths = shard_paths(given, "")
    suffixes = {PurePosixPath(Location(one).split_query()[0]).suffix.lower() for one in paths}
    if all(is_image_name(Location(one).split_query()[0]) for one in paths):
        start = path.rfind("/", 0, magic.start() if magic else None) + 1
        return image_files(given, Location(path[:start] + query), paths, cache)
    if len(suffixes) > 1 or not suffixes <= {*_SHARDS, _PARQUET}:
        name, there = repr(str(Location(given))), ", ".join(sorted(s or "none" for s in suffixes))
        raise CannotRunError(
            f"by its suffix, {name} is neither an image nor a shard nor a Parquet file. {FORMS}"
            if magic is None
            else f"{name} matches files with these suffixes: {there}. {FORMS}"
        )
    return _of_shards(given, suffixes.pop(), paths, cache)


def _of_shards(given: str, suffix: str, paths: list[str], cache: DiskCache | None) -> NamedImages:
    if suffix == _PARQUET:
        if _is_saved_list(paths):
            return _saved_list(given, cache)
        return _parquet(given, paths, cache)
    shards = _SHARDS[suffix](paths, cache=cache)
    named = (name for name in ("cls", "label") if shards.extensions.get(name) == len(shards))
    column = next(named, None)

    def labels() -> Labels:
        texts = shards.column(column, "str")
        return _numbered(texts.astype(np.int64) if np.char.isdecimal(texts).all() else texts)

    def opened(size: Any, transform: str | None = None, **reading: Any) -> Any:
        return shards.images(**_sized(size, transform), **reading)

    own = None if column is None else functools.cache(labels)
    return NamedImages(given, f"{suffix[1:]} shards", opened, shards.keys.array.to_pylist(), own)


def image_files(
    given: str, root: Location, paths: list[str], cache: DiskCache | None = None
) -> NamedImages:
    """Return the image files at `paths`, named by their paths below `root`."""

    def opened(size: Any, transform: str | None = None, **reading: Any) -> Any:
        if size is None:
            return NonUniformImageFileAccessor(paths, cache=cache, **reading)
        return ImageFileAccessor(paths, **_sized(size, transform), cache=cache, **reading)

    names = [Location(path).name_below(root) for path in paths]
    return NamedImages(given, "image files", opened, names, paths=paths)


def _is_saved_list(paths: list[str]) -> bool:
    if len(paths) > 1 or is_url(paths[0]):
        return False
    names: list[str] = pyarrow.parquet.read_schema(paths[0]).names
    return names == ["path", "label"]


def _saved_list(given: str, cache: DiskCache | None) -> NamedImages:
    images = ImageList.load(given)
    named = image_files(given, Location(""), path_names(images.paths), cache)
    labels = images.labels.astype(np.int32), images.classes
    return dataclasses.replace(named, form="a list of images", own_labels=lambda: labels)


def _parquet(given: str, paths: list[str], cache: DiskCache | None) -> NamedImages:
    images = ParquetImageAccessor(paths, size=DEFAULT_SIZE, cache=cache)
    files = Locations(paths)

    def labels() -> Labels:
        try:
            return _numbered(images.column("label"), _class_names_in(paths[0]))
        except (TypeError, ValueError):  # There are no labels, or they cannot be classes.
            return np.zeros(len(images), np.int32), ["image"]

    def opened(size: Any, transform: str | None = None, row_groups: int = 4, **reading: Any) -> Any:
        return ParquetImageAccessor(paths, **_sized(size, transform), cache=cache, **reading)

    return NamedImages(
        given,
        "Parquet files",
        opened,
        [images.name_of(0)] * len(images),
        functools.cache(labels),
        blocks=images.row_group_lengths,
        nbytes=sum(files.version(number).size for number in range(len(files))),
    )


def _class_names_in(path: str) -> list[str] | None:
    """Return the class names that Hugging Face stores in the metadata of a data set's files."""
    if is_url(path):
        return None
    about = (pyarrow.parquet.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
    try:
        names: list[str] = json.loads(about)["info"]["features"]["label"]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return names


def _packed(given: str) -> NamedImages:
    manifest = load_manifest(Path(given))
    image, *others = manifest.columns
    column = next((each.name for each in others if not each.shape and each.dtype[1] in "iu"), None)
    stored = (image.shape[0], image.shape[1]) if len(image.shape) > 1 else None

    def opened(size: Any, transform: str | None = None, **reading: Any) -> Any:
        if stored is None:
            raise CannotRunError(
                f"{given!r} is packed, but its first column {image.name!r} does not hold images"
            )
        _refuse(reading, "packed images are already decoded")
        if transform is not None:
            return PackedAccessor(given, transform=PRESETS[transform](size or stored))
        change = None if size in (None, stored) else Resize(size)
        return PackedAccessor(given, transform=change)

    def labels() -> Labels:
        if column is None:
            return np.zeros(manifest.rows, np.int32), ["image"]
        names = None if manifest.classes is None else list(manifest.classes)
        return _numbered(PackedAccessor(given).column(column), names)

    return NamedImages(
        given,
        "packed files",
        opened,
        [given] * manifest.rows,
        functools.cache(labels),
        nbytes=sum(file.nbytes for file in manifest.files),
        is_packed=True,
        packed_size=stored,
    )


def _sized(size: Any, transform: str | None) -> dict[str, Any]:
    """Return an accessor's arguments for images of `size`, scaled by a preset if named."""
    return {"size": size} if transform is None else {"transform": PRESETS[transform](size)}


def _refuse(reading: dict[str, Any], why: str) -> None:
    """Raise CannotRunError if `reading` changes a setting, since none has an effect here."""
    if given := [name for name, value in reading.items() if value != _DEFAULTS[name]]:
        option = "--" + given[0].replace("_", "-")
        raise CannotRunError(f"{option} has no effect here: {why}")


def _numbered(values: Any, names: list[str] | None = None) -> Labels:
    """Return class indices and class names for `values`.

    Values that are class indices stay unchanged. Other integers beside them, such as -1 for images
    without a label, become classes after the named ones.
    """
    values = np.asarray(values)
    if values.dtype.kind in "iu" and len(values) and (names or values.max() < _MOST_CLASSES):
        names = names or [str(number) for number in range(int(values.max()) + 1)]
        is_other = (values < 0) | (values >= len(names))
        others, numbers = np.unique(values[is_other], return_inverse=True)
        labels = values.astype(np.int32)
        labels[is_other] = len(names) + numbers
        return labels, [*names, *map(str, others)]
    found, labels = np.unique(values, return_inverse=True)
    return labels.astype(np.int32), [str(value) for value in found]
