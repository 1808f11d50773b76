"""Tells of boxes, keypoints and masks in a source that do not move as their images do."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raybatch.accessors.images import EncodedImages
from raybatch.arrays import gather
from raybatch.image.augment.targets import OnFields
from raybatch.image.motion import Motion, is_alike
from raybatch.image.reader import motion, stored_size
from raybatch.image.view import Size
from raybatch.notices import tell
from raybatch.order.seeds import NO_KEYS
from raybatch.ragged import RaggedArray
from raybatch.sources.array import ArrayDataSource
from raybatch.sources.batch import batch_row
from raybatch.sources.fields import field_name
from raybatch.sources.mapped import MapDataSource
from raybatch.sources.source import DataSource, nodes, rows_at

_NAMES = {
    "boxes": re.compile("box", re.IGNORECASE),
    "keypoints": re.compile("keypoint|landmark|kpt", re.IGNORECASE),
    "mask": re.compile("mask|segm", re.IGNORECASE),
}
# How many samples are looked at for values, and how many draws of one sample for random moves.
_SAMPLES, _DRAWS = 32, 8


class _Moves(NamedTuple):
    """How the images of a field move: the stored `size` of the first, and its `motions`."""

    key: Any
    size: Size
    motions: list[Motion]

    @property
    def are_drawn(self) -> bool:
        return any(not np.allclose(one.matrix, self.motions[0].matrix) for one in self.motions)

    @property
    def are_none(self) -> bool:
        """Whether places in fractions of the width and the height stay where they are."""
        still = Motion.of(self.size)
        return all(is_alike(one, self.size, still, self.size) for one in self.motions)

    def are_those_of(self, masks: EncodedImages, position: int) -> bool:
        """Return whether `masks` show the same parts of images of this size."""
        others = _motions(masks, position, self.size)
        return all(
            is_alike(one, self.size, other, self.size)
            for one, other in zip(self.motions, others, strict=True)
        )


def tell_unmoved(source: DataSource) -> None:
    """Tell of the boxes, keypoints and masks in `source` that do not move as their images do.

    They are found by their names and shapes. Boxes that a function of the program may have scaled
    are left to it, unless the images move at random, which no function can repeat.
    """
    maps = [node for node in nodes(source) if isinstance(node, MapDataSource)]
    may_scale = any(not isinstance(node.fn, OnFields) for node in maps)
    for node in nodes(source):
        if isinstance(node, ArrayDataSource):
            _tell_of(node, may_scale)
    for node in maps:
        if isinstance(node.fn, OnFields) and isinstance(node.children[0], ArrayDataSource):
            _tell_unlisted(node.fn.fields, node.children[0].fields())


def _tell_unlisted(listed: Mapping[str, str | tuple[str, ...]], fields: Mapping[Any, Any]) -> None:
    """Tell of unlisted fields with a row for each box: they keep the rows of dropped boxes."""
    boxes = fields.get(listed.get("boxes"))
    if not isinstance(boxes, RaggedArray) or not len(boxes.values):
        return
    moved = {name for names in listed.values() for name in np.atleast_1d(names).tolist()}
    for key, field in fields.items():
        if key in moved or not isinstance(field, RaggedArray):
            continue
        if np.array_equal(field.offsets, boxes.offsets):
            tell(
                f"{field_name(key)} has a row for each box of {field_name(listed['boxes'])}, and"
                f" keeps the row if the box is dropped. Name it in change.on(..., labels={key!r});"
                " labels= takes a tuple of names too"
            )


def _tell_of(source: ArrayDataSource, may_scale: bool) -> None:
    fields = source.fields()
    rows = rows_at(source, 0, _SAMPLES)
    if rows is None:
        return
    position = int(rows.indices[0])
    files = {key: array for key, array in fields.items() if isinstance(array, EncodedImages)}
    masks = [key for key, array in files.items() if array.reader_at(position).mask]
    kinds = {
        key: kind
        for key, array in fields.items()
        if key not in files and (kind := _kind(key, array, rows.indices[:1]))
    }
    if not masks and not kinds:
        return
    moves = [_moves(key, array, position) for key, array in files.items() if key not in masks]
    for key in masks:
        apart = [one for one in moves if not one.are_those_of(files[key], position)]
        _tell_if_all(key, "mask", apart, moves)
    for key, kind in kinds.items():
        values = _rows(fields[key], rows.indices)
        apart = [one for one in moves if _is_apart(kind, values, one, may_scale)]
        _tell_if_all(key, kind, apart, moves)


def _moves(key: Any, accessor: EncodedImages, position: int) -> _Moves:
    file = io.BytesIO(accessor.encoded(position))
    height, width = stored_size(accessor.reader_at(position), file)
    size = width, height
    return _Moves(key, size, _motions(accessor, position, size))


def _motions(accessor: EncodedImages, position: int, size: Size) -> list[Motion]:
    rngs = [NO_KEYS.of_sample(position, draw) for draw in range(_DRAWS)]
    return [motion(accessor.reader_at(position), size, rng) for rng in rngs]


def _rows(array: Any, indices: npt.NDArray[np.intp]) -> list[Any]:
    rows = gather(array, indices)
    return [np.asarray(batch_row(rows, row)) for row in range(len(indices))]


def _kind(key: Any, array: Any, first: npt.NDArray[np.intp]) -> str | None:
    """Return what the field `key` holds: a name in `_NAMES`, or None for anything else."""
    named = [kind for kind, name in _NAMES.items() if isinstance(key, str) and name.search(key)]
    # The fields of a tuple have no names, and only boxes are ragged with four columns.
    if not named and not (isinstance(key, int) and isinstance(array, RaggedArray)):
        return None
    (row,) = _rows(array, first)
    if row.dtype.kind not in "biuf":
        return None
    kind = named[0] if named else "boxes"
    fits = {
        "boxes": row.ndim in (1, 2) and row.shape[-1] == 4,
        "keypoints": row.ndim in (2, 3) and row.shape[-1] in (2, 3),
        "mask": row.ndim in (2, 3),
    }
    return kind if fits[kind] else None


def _is_apart(kind: str, values: Sequence[Any], moves: _Moves, may_scale: bool) -> bool:
    """Return whether the images of `moves` surely move, and the targets `values` do not."""
    if kind == "mask":
        height, width = values[0].shape[-2:]
        is_as_stored = (width, height) == moves.size != moves.motions[0].size
        return moves.are_drawn or (is_as_stored and not may_scale)
    places = [_places(kind, value) for value in values]
    found = np.concatenate(places) if places else np.empty((0, 2))
    if not len(found):
        return False
    if ((found >= 0) & (found <= 1)).all():
        return not moves.are_none and (moves.are_drawn or not may_scale)
    if moves.are_drawn:
        return True
    motion = moves.motions[0]
    if may_scale or np.allclose(motion.matrix, np.eye(3)):
        return False
    # They may be places in the image after the change, which some data sets have.
    if motion.size[0] < moves.size[0] or motion.size[1] < moves.size[1]:
        return _exceeds(found, motion.size)
    return not _exceeds(found, moves.size)


def _places(kind: str, value: Any) -> npt.NDArray[Any]:
    """Return x and y of the places (k, 2) in one sample's boxes or keypoints."""
    if kind == "boxes":
        return np.asarray(value.reshape(-1, 2), np.float64)
    return np.asarray(value[..., :2].reshape(-1, 2), np.float64)


def _exceeds(places: npt.NDArray[Any], size: Size) -> bool:
    return bool((places > np.array(size) + 1).any())


def _tell_if_all(key: Any, kind: str, apart: Sequence[_Moves], moves: Sequence[_Moves]) -> None:
    if apart and len(apart) == len(moves):
        field, image = field_name(key), field_name(apart[0].key)
        tell(
            f"{field} does not move with the images of {image}, {_how(apart[0])}."
            f" {' '.join(_cures(key, kind, apart[0].key))}"
        )


def _how(moves: _Moves) -> str:
    if moves.are_drawn:
        return "which are cropped, flipped or turned at random"
    (width, height), size = moves.size, moves.motions[0].size
    return f"which change from {height}x{width} to {size[1]}x{size[0]} pixels (height x width)"


def _cures(key: Any, kind: str, image: Any) -> Iterator[str]:
    if kind == "mask":
        yield (
            "For mask files, give both accessors the same size and transform, and the one of masks"
            " mask=True. Otherwise read"
        )
    else:
        yield "Read"
    yield (
        "the images without size and transform (files with rb.NonUniformImageFileAccessor), and"
        " change both together:"
    )
    if isinstance(key, str):
        yield f"source.map_samples(change.on(image={image!r}, {kind}={key!r}))"
    else:
        yield (
            f"a function of source.map_samples calls change(image, {kind}={kind}, rng=rng), where"
            " change is a rb.augment.Compose"
        )
