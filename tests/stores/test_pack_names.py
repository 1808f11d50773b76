"""Batches with names are packed under these names, and read by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import raybatch as rb
from raybatch.errors import PackError

IMAGES = np.arange(10 * 12, dtype=np.uint8).reshape(10, 2, 2, 3)
CAPTIONS = np.array([f"a caption of {number}" for number in range(10)], object)


class Pair(NamedTuple):
    """A batch whose two arrays have names."""

    picture: Any
    number: Any


def source(*names: str) -> rb.ArrayDataSource:
    fields: dict[str, Any] = {
        "picture": IMAGES,
        "number": np.arange(10),
        "scale": np.arange(10) / 2,
    }
    return rb.ArrayDataSource({name: fields[name] for name in names})


def test_the_keys_of_a_dict_are_the_names_of_columns(tmp_path: Path) -> None:
    data = source("picture", "number")
    rb.pack(data, tmp_path / "packed", batch_size=4)
    packed = rb.PackedAccessor(tmp_path / "packed")
    assert packed.columns == ["picture", "number"]
    again = rb.ArrayDataSource({name: packed.column(name) for name in packed.columns})
    assert rb.stream_digest(rb.Loader(again, 3, shuffle=1)) == rb.stream_digest(
        rb.Loader(data, 3, shuffle=1)
    )


def test_columns_are_found_by_name_in_every_batch(tmp_path: Path) -> None:
    def turned(batch: dict[str, Any]) -> dict[str, Any]:
        is_first = batch["number"][0] == 0
        return batch if is_first else dict(reversed(batch.items()))

    rb.pack(source("number", "scale", "picture").map(turned), tmp_path / "packed", batch_size=4)
    packed = rb.PackedAccessor(tmp_path / "packed", "picture")
    np.testing.assert_array_equal(packed.column("number"), np.arange(10))
    np.testing.assert_array_equal(packed.column("scale"), np.arange(10) / 2)


def test_a_named_tuple_has_names_too_and_a_list_of_strings_is_a_column(tmp_path: Path) -> None:
    pairs = source("picture", "number").map(
        lambda batch: Pair(batch["picture"], [str(CAPTIONS[n]) for n in batch["number"]])
    )
    rb.pack(pairs, tmp_path / "packed", batch_size=4)
    packed = rb.PackedAccessor(tmp_path / "packed")
    assert packed.columns == ["picture", "number"]
    assert packed.column("number").tolist() == CAPTIONS.tolist()


@pytest.mark.parametrize(
    ("made", "names", "error", "message"),
    [
        (
            lambda batch: batch,
            ["image", "label"],
            ValueError,
            r"name their own columns, \['picture', 'number'\]",
        ),
        (
            lambda batch: {"a": batch},
            None,
            TypeError,
            "'a' has fields, {'picture': .*with map",
        ),
        (
            lambda batch: {"a": batch["picture"], "b": [*batch["picture"]]},
            None,
            TypeError,
            "'b' is a list",
        ),
    ],
)
def test_what_is_no_column_is_named(
    made: Any, names: list[str] | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        rb.pack(source("picture", "number").map(made), tmp_path / "packed", names=names)


def test_a_batch_with_other_names_is_an_error(tmp_path: Path) -> None:
    def renamed(batch: dict[str, Any]) -> dict[str, Any]:
        return (
            batch
            if batch["number"][0] == 0
            else {"image": batch["number"], "number": batch["number"]}
        )

    with pytest.raises(
        ValueError, match=r"the arrays \['image', 'number'\], but the first one had \['picture'"
    ):
        rb.pack(source("picture", "number").map(renamed), tmp_path / "packed", batch_size=4)


def test_other_fields_are_another_source(tmp_path: Path) -> None:
    rb.pack(source("picture", "number"), tmp_path / "packed", batch_size=4)
    with pytest.raises(PackError, match=r"data\.arrays\.scale"):
        rb.pack(source("picture", "scale"), tmp_path / "packed", batch_size=4)
