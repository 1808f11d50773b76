"""A set where the order counts, which would differ in each process, is an error that names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch import augment

# Types do not allow a set in any of these places.
RB: Any = rb
AUGMENT: Any = augment

MEMBERS = [rb.ArrayDataSource([np.arange(4)]), rb.ArrayDataSource([np.arange(4, 8)])]
TURNS = {augment.RandomHorizontalFlip(), augment.RandomVerticalFlip()}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("weights", lambda: RB.MixDataSource(MEMBERS, weights={0.7, 0.3})),
        ("weights", lambda: RB.ChoiceDataSource(MEMBERS, weights={0.7, 0.3})),
        ("weights", lambda: RB.WeightedSampler({1, 2})),
        ("sub_weights", lambda: RB.WeightedSubsetSampler({1, 2}, [0, 1])),
        ("datasets", lambda: RB.MixDataSource(set(MEMBERS))),
        ("datasets", lambda: RB.ChoiceDataSource(set(MEMBERS))),
        ("datasets", lambda: RB.CompositeDataSource(set(MEMBERS))),
        ("indices", lambda: RB.ArrayDataSource([np.arange(4)], indices={0, 1})),
        ("groups", lambda: RB.GroupedSampler({0, 1})),
        ("groups", lambda: RB.PKSampler({0, 1}, 1, 1)),
        ("block_lengths", lambda: RB.BlockShuffleSampler({3, 4})),
        ("heights", lambda: RB.aspect_ratio_buckets({100, 200}, [100, 200])),
        ("paths", lambda: RB.ImageFileAccessor({"a.jpg", "b.jpg"}, 8)),
        ("paths", lambda: RB.ImageSizes(frozenset({"a.jpg", "b.jpg"}))),
        ("paths", lambda: RB.TarShards({"a.tar", "b.tar"})),
        ("paths", lambda: RB.ParquetImageAccessor({"a.parquet", "b.parquet"})),
        ("rows", lambda: RB.RaggedArray({(1,), (2, 3)})),
        ("transforms", lambda: AUGMENT.Compose(TURNS)),
        ("transforms", lambda: AUGMENT.RandomChoice(TURNS)),
    ],
)
def test_a_set_is_an_error_that_names_the_argument(name: str, made: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a list, not a set, which has no fixed"):
        made()


def test_classes_in_a_set_are_an_error(tmp_path: Path, photos: list[str]) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        shutil.copy(photos[0], tmp_path / name)
    with pytest.raises(TypeError, match=r"^classes must be a list, not a set"):
        RB.image_folder(tmp_path, classes={"cat", "dog"})
    with pytest.raises(TypeError, match=r"^classes must be a list, not a set"):
        RB.ImageFolder(tmp_path, size=8, classes={"cat", "dog"})


def test_a_size_and_a_range_in_a_set_are_errors() -> None:
    with pytest.raises(TypeError, match=r"size must be an integer or \(height, width\), not \{"):
        AUGMENT.RandomResizedCrop({16, 32})
    with pytest.raises(TypeError, match=r"scale must be \(min, max\), two numbers, not \{"):
        AUGMENT.RandomResizedCrop(16, scale={0.2, 1.0})
