"""Loaders as Ray data sets, and Ray data sets as sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb

pytest.importorskip("pandas")  # Ray Data needs it

import ray.data

from raybatch.adapters.ray_data import from_ray_data, to_ray_data

# Ray warns about its own settings.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

X = np.arange(23)
Y = np.arange(92.0).reshape(23, 2, 2)


@pytest.fixture
def in_order(actors: rb.RayActorPool) -> Iterator[None]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    yield
    context.execution_options.preserve_order = False


def whole(**options: Any) -> rb.Loader:
    return rb.Loader(rb.ArrayDataSource([X, Y]), 4, shuffle=3, **options)


def test_an_epoch_becomes_a_data_set(in_order: None, actors: rb.RayActorPool) -> None:
    with whole(pool=actors) as loader:
        list(loader)  # so the second epoch becomes the data set
        data_set = to_ray_data(loader, ["x", "y"])
        batches = [(rows["x"], rows["y"]) for rows in data_set.iter_batches(batch_size=None)]
        assert rb.stream_digest(batches) == rb.stream_digest(loader)


def test_a_ragged_array_becomes_a_column_of_arrays(in_order: None) -> None:
    boxes = [np.full((length, 4), length) for length in range(5)]
    source = rb.ArrayDataSource({"boxes": rb.RaggedArray(boxes), "id": np.arange(5)})
    rows = to_ray_data(rb.Loader(source, 2)).take_all()
    assert [np.shape(row["boxes"]) for row in rows] == [box.shape for box in boxes]


def test_a_data_set_becomes_a_source(in_order: None, actors: rb.RayActorPool) -> None:
    data_set = ray.data.from_numpy(np.array_split(Y, 3))
    source = from_ray_data(data_set, ["data"], include_indices=True)
    assert source.data[0].block_lengths.tolist() == [8, 8, 7]
    assert rb.stream_digest(source.batch_iterator(4, shuffle=3)) == rb.stream_digest(whole())
    with rb.Loader(source, 4, shuffle=3, pool=actors) as loader:
        assert rb.stream_digest(loader) == rb.stream_digest(whole())
    assert source.data[0][-1].tolist() == Y[-1].tolist()


def test_the_names_of_fields_are_those_of_columns(in_order: None) -> None:
    loader = rb.Loader(rb.ArrayDataSource({"x": X, "y": Y}), 4, shuffle=3)
    data_set = to_ray_data(loader)
    batches = list(data_set.iter_batches(batch_size=None))
    assert rb.stream_digest(batches) == rb.stream_digest(loader)
    source = from_ray_data(data_set)
    assert sorted(source.data) == ["x", "y"]
    assert source.data["x"].block_lengths.tolist() == [4] * 5 + [3]
    rows = np.concatenate([batch["x"] for batch in source.batch_iterator(5)])
    assert rows.tolist() == np.concatenate([batch["x"] for batch in batches]).tolist()


def test_tuples_need_names(in_order: None) -> None:
    with pytest.raises(Exception, match="names= must give 2 names"):
        list(to_ray_data(whole()).iter_batches(batch_size=None))


def test_what_is_wrong_is_refused(in_order: None) -> None:
    with pytest.raises(ValueError, match=r"no columns \['z'\], only \['id'\]"):
        from_ray_data(ray.data.range(3), ["z"])
    with pytest.raises(ValueError, match="this loader is one rank of a split"):
        to_ray_data(whole(split=rb.RankSplit(0, 2)), ["x", "y"])


def test_a_batch_without_any_good_sample_is_an_error(in_order: None, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.new("RGB", (4, 4)).save(path)
    paths[2].write_text("no image")
    source = rb.ArrayDataSource([rb.ImageFileAccessor(paths, (4, 4))])
    loader = rb.Loader(source, 1, bad_samples="skip")
    with pytest.raises(Exception, match="batch 2 has no sample that can be read"):
        list(to_ray_data(loader, ["x"]).iter_batches(batch_size=None))
