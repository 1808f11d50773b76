"""Lists of small arrays are sent as one array, and arrive unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray import cloudpickle

from raybatch.pools.ray.array_lists import with_lists_joined

LISTS = {
    "boxes": [np.full((n, 4), n, np.float32) for n in (2, 0, 3)],
    "dtypes": [np.arange(3), np.array([True]), np.array(["a", "bc"]), np.array([1j])],
    "times": [np.array(["2020-01-01"], "datetime64[D]"), np.array([5], "timedelta64[s]")],
    "byte orders": [np.arange(3, dtype=">i4"), np.arange(3, dtype="<i4")],
    "records": [np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])] * 2,
    "no axes": [np.array(1.5), np.array(2)],
    "no rows": [np.empty((0, 4)), np.empty((0, 4))],
    "orders of axes": [np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(10)[::-2]],
}
AS_THEY_ARE: dict[str, list[Any]] = {
    "one array": [np.arange(3)],
    "large arrays": [np.zeros(20_000), np.zeros(20_000)],
    "objects": [np.array([None]), np.array([None])],
    "arrays and text": [np.arange(3), "text"],
    "masked arrays": [np.ma.masked_array([1, 2], [True, False])] * 2,
    "nothing": [],
}


def sent(batch: Any) -> tuple[Any, int]:
    """Return `batch` as the consumer receives it, and the number of buffers that were sent."""
    buffers: list[Any] = []
    data = cloudpickle.dumps(with_lists_joined(batch), protocol=5, buffer_callback=buffers.append)
    return cloudpickle.loads(data, buffers=buffers), len(buffers)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_small_arrays_arrives_as_it_was(name: str) -> None:
    batch, count = sent({"images": np.zeros(5), "list": LISTS[name]})
    assert count == 2
    assert type(batch["list"]) is list
    for array, wanted in zip(batch["list"], LISTS[name], strict=True):
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_any_other_list_is_left_alone(name: str) -> None:
    given = AS_THEY_ARE[name]
    (made,) = with_lists_joined((given,))
    assert made is given
