"""Columns and data frames of pandas as fields of a source."""

from typing import Any

import numpy as np
import pytest

import raybatch as rb

pd = pytest.importorskip("pandas", reason="pandas is not installed")


def first_batch(field: Any) -> Any:
    return next(iter(rb.ArrayDataSource({"x": field}).batch_iterator(3)))["x"]


def test_a_categorical_column_gives_its_values() -> None:
    numbers = first_batch(pd.Series([30, 10, 20], dtype="category"))
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [30, 10, 20]
    assert list(first_batch(pd.Series(["b", "a", "b"], dtype="category"))) == ["b", "a", "b"]


def test_a_frame_with_one_dtype_is_an_array() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
    assert np.array_equal(first_batch(frame), [[1, 4], [2, 5], [3, 6]])


def test_a_frame_without_a_common_dtype_is_an_error_that_names_the_columns() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "name": ["x", "y", "z"]})
    with pytest.raises(TypeError, match=r"'a', 'name'.*no common dtype.*field of its own"):
        first_batch(frame)
