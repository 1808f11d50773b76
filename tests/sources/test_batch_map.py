"""Functions that are mapped over batches, and the conversion of objects to data sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from raybatch.batchup.data_source import (
    AbstractDataSource,
    ArrayDataSource,
    CallableDataSource,
    IteratorDataSource,
    batch_map_concat,
    batch_map_mean,
    coerce_data_source,
)

X = np.arange(21.0).reshape(7, 3)
Y = np.arange(7)
SOURCE = ArrayDataSource([X, Y])

Map = Callable[..., Any]
FUNCTIONS = pytest.mark.parametrize("map_batches", [batch_map_concat, batch_map_mean])
METHODS = pytest.mark.parametrize("method", ["batch_map_concat", "batch_map_mean"])


class Progress:
    """A `progress_iter_func` that records its arguments, and counts the batches that it yields."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.passed = 0

    def __call__(self, batches: Iterator[Any], **kwargs: Any) -> Iterator[Any]:
        self.calls.append(kwargs)
        for batch in batches:
            self.passed += 1
            yield batch


def row_sums(x: Any, y: Any) -> Any:
    return x.sum(axis=1) + y


def test_concat_joins_the_results_of_all_batches_in_order() -> None:
    result = batch_map_concat(row_sums, SOURCE.batch_iterator(3))
    assert isinstance(result, tuple)
    assert len(result) == 1
    np.testing.assert_array_equal(result[0], row_sums(X, Y))
    two = SOURCE.batch_map_concat(lambda x, y: (x[:, :1], -y), 3)
    assert two is not None
    np.testing.assert_array_equal(two[0], X[:, :1])
    np.testing.assert_array_equal(two[1], -Y)


def test_mean_divides_the_sums_by_the_number_of_samples() -> None:
    expected = row_sums(X, Y).mean()
    summed: Any = SOURCE.batch_map_mean(lambda x, y: row_sums(x, y).sum(), 3)
    per_sample: Any = SOURCE.batch_map_mean(row_sums, 3, sum_axis=0)
    np.testing.assert_allclose([summed, per_sample], expected)
    both: Any = SOURCE.batch_map_mean(lambda x, y: (x, y[:, None]), 3, sum_axis=(0, 1))
    np.testing.assert_allclose(both, [X.sum() / 7, Y.mean()])
    columns = batch_map_mean(lambda x, y: x.sum(axis=0), SOURCE.batch_iterator(2))
    assert columns is not None
    assert columns[0].dtype == np.float64
    np.testing.assert_allclose(columns[0], X.mean(axis=0))


@FUNCTIONS
def test_at_most_n_batches_are_taken_from_the_iterator(map_batches: Map) -> None:
    batches = SOURCE.batch_iterator(2)
    seen: list[float] = []
    map_batches(lambda x, y: seen.append(len(y)), batches, n_batches=2)
    assert seen == [2, 2]
    assert next(batches)[1].tolist() == [4, 5]


@METHODS
def test_the_method_gives_progress_the_number_of_batches(method: str) -> None:
    progress = Progress()
    getattr(SOURCE, method)(row_sums, 3, progress)
    assert progress.calls == [{"total": 3, "leave": False}]
    assert progress.passed == 3
    progress = Progress()
    getattr(SOURCE, method)(lambda x, y: x, 3, progress_iter_func=progress, n_batches=1)
    assert progress.calls == [{"total": 1, "leave": False}]
    assert progress.passed == 1


@METHODS
def test_progress_has_no_total_where_the_size_is_unknown(method: str) -> None:
    progress = Progress()
    source = CallableDataSource(lambda batch_size: iter([(Y,), (Y,)]))
    getattr(source, method)(lambda y: y, 3, progress)
    assert progress.calls == [{"total": None, "leave": False}]
    assert progress.passed == 2


@METHODS
def test_prepended_arguments_come_before_the_batch(method: str) -> None:
    def scaled(scale: float, x: Any, y: Any) -> Any:
        return scale * x

    result = getattr(SOURCE, method)(scaled, 7, prepend_args=(2.0,))
    np.testing.assert_array_equal(result[0], 2 * X if method == "batch_map_concat" else 2 * X / 7)


@METHODS
def test_an_endless_source_needs_a_number_of_batches(method: str) -> None:
    endless = ArrayDataSource([X, Y], repeats=-1)
    with pytest.raises(ValueError, match="infinite"):
        getattr(endless, method)(row_sums, 3)
    assert getattr(endless, method)(lambda x, y: x, 7, n_batches=3) is not None


@METHODS
def test_keyword_arguments_go_to_the_batch_iterator(method: str) -> None:
    seen: list[int] = []
    getattr(SOURCE, method)(lambda x, y: seen.extend(y), 3, shuffle=np.random.RandomState(0))
    assert seen == np.random.RandomState(0).permutation(7).tolist()


@FUNCTIONS
def test_batches_without_a_result_are_left_out(map_batches: Map) -> None:
    assert map_batches(lambda x, y: None, SOURCE.batch_iterator(3)) is None
    assert map_batches(row_sums, iter([])) is None


def test_a_batch_without_a_result_still_counts_its_samples() -> None:
    result = SOURCE.batch_map_mean(lambda x, y: None if y[0] == 0 else float(y.sum()), 3)
    np.testing.assert_allclose(result, [18 / 7])  # type: ignore[arg-type]


@FUNCTIONS
@pytest.mark.parametrize("result", [[1.0, 2.0], "no", {}])
def test_a_result_of_another_type_is_named(map_batches: Map, result: Any) -> None:
    with pytest.raises(TypeError, match=type(result).__name__):
        map_batches(lambda x, y: result, SOURCE.batch_iterator(3))


def test_a_number_is_no_result_per_sample() -> None:
    with pytest.raises(TypeError, match="float"):
        SOURCE.batch_map_concat(lambda x, y: 1.0, 3)


def test_a_source_is_returned_as_it_is() -> None:
    assert coerce_data_source(SOURCE) is SOURCE


@pytest.mark.parametrize("sequence", [[X, Y], (X, Y)])
def test_a_sequence_of_array_likes_becomes_an_array_source(sequence: Any) -> None:
    source = coerce_data_source(sequence)
    assert isinstance(source, ArrayDataSource)
    assert source.data == [X, Y]


def test_an_array_like_may_have_a_shape_in_place_of_a_length() -> None:
    class Shaped:
        shape = (7,)

        def __getitem__(self, index: Any) -> Any:
            return Y[index]

    assert [len(y) for (y,) in coerce_data_source([Shaped()]).batch_iterator(4)] == [4, 3]


def test_an_iterator_and_a_function_become_sources() -> None:
    iterator = SOURCE.batch_iterator(3)
    wrapped = coerce_data_source(iterator)
    assert isinstance(wrapped, IteratorDataSource)
    assert [len(y) for _, y in wrapped.batch_iterator(1)] == [3, 3, 1]
    function = coerce_data_source(SOURCE.batch_iterator)
    assert isinstance(function, CallableDataSource)
    assert [len(y) for _, y in function.batch_iterator(4)] == [4, 3]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([], ValueError, "empty sequence"),
        (5, TypeError, "cannot handle <class 'int'>"),
        (X, TypeError, "ndarray"),
        ([X, 5], TypeError, "not an array-like object, rather a <class 'int'>"),
        ([X, Y[:3]], ValueError, "inconsistent length"),
    ],
)
def test_what_is_no_data_source_is_refused(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        coerce_data_source(x)


def test_the_abstract_source_says_what_is_missing() -> None:
    class Mine(AbstractDataSource):
        pass

    assert not Mine().is_random_access
    for call in (Mine().num_samples, lambda: Mine().batch_iterator(2)):
        with pytest.raises(NotImplementedError, match="Mine"):
            call()
