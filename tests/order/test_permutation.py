"""The keyed permutation: a bijection that never changes and is as uniform as NumPy's."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from raybatch.order.permutation import TABLE_LENGTH, permutation

Orders = npt.NDArray[np.int64]
TABLE, NETWORK = 100, 5000  # a length below TABLE_LENGTH and one above it


def assert_bijection(n: int, key: int) -> None:
    np.testing.assert_array_equal(np.sort(permutation(n, key)[:]), np.arange(n))


def test_every_index_comes_once_for_every_short_length() -> None:
    for n in range(2001):
        assert_bijection(n, n % 3)


def test_every_index_comes_once_when_short_lengths_go_through_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Short lengths have small digits, so they cover the edge cases of the mixed base.

    These are the square numbers and their neighbours.
    """
    monkeypatch.setattr("raybatch.order.permutation.TABLE_LENGTH", 0)
    for n in range(1, 700):
        assert_bijection(n, 5)


@pytest.mark.parametrize("n", [4095, 4096, 4097, 4098, 4160, 4161, 5000, 99_856, 100_003])
@pytest.mark.parametrize("key", [0, 1, 2**70])
def test_every_index_comes_once_for_longer_lengths(n: int, key: int) -> None:
    assert_bijection(n, key)


@pytest.mark.parametrize("n", [2**40, 2**40 + 1, 2**62 - 1, 2**62])
def test_indices_of_a_huge_length_are_distinct_and_in_range(n: int) -> None:
    order = permutation(n, 9)
    positions = np.concatenate([np.arange(20_000), np.arange(n - 20_000, n)])
    indices = order[positions]
    assert indices.dtype == np.int64
    assert len(np.unique(indices)) == len(positions)
    assert 0 <= indices.min() < n // 100
    assert n - n // 100 < indices.max() < n


def test_the_order_of_a_key_never_changes() -> None:
    """Saved states depend on this order, so a change of it needs a new version of the state."""
    table = [6, 4, 1, 2, 10, 14, 7, 3, 0, 8, 5, 12, 9, 13, 15, 11]
    assert permutation(16, 12345)[:].tolist() == table
    assert permutation(5000, 0)[:8].tolist() == [387, 1896, 3797, 2252, 2465, 353, 2348, 4811]
    assert permutation(2**40, 12345)[:4].tolist() == [
        117065272515,
        608405083493,
        70051282287,
        710119916987,
    ]


def chi_square(counts: npt.NDArray[np.float64], expected: float) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


def bin_statistics(orders: Orders, bins: int) -> tuple[float, float, float]:
    """Return three chi-squares: values by position, values by previous value, and differences."""
    keys, n = orders.shape
    values = orders * bins // n
    places = np.broadcast_to(np.arange(n) * bins // n, orders.shape)
    steps = np.diff(orders, axis=1) % n * bins // n
    cells = bins * bins
    by_place = np.bincount((places * bins + values).ravel(), minlength=cells).astype(float)
    pairs = (values[:, :-1] * bins + values[:, 1:]).ravel()
    by_previous = np.bincount(pairs, minlength=cells).astype(float)
    by_step = np.bincount(steps.ravel(), minlength=bins).astype(float)
    return (
        chi_square(by_place, keys * n / cells),
        chi_square(by_previous, keys * (n - 1) / cells),
        chi_square(by_step, keys * (n - 1) / bins),
    )


@pytest.mark.parametrize(
    ("n", "bins", "keys"), [(8, 8, 4000), (64, 16, 2000), (4097, 17, 300), (10_000, 50, 100)]
)
def test_orders_are_as_uniform_as_those_of_numpy(n: int, bins: int, keys: int) -> None:
    ours = np.stack([permutation(n, key)[:] for key in range(keys)])
    theirs = np.stack([np.random.RandomState(key).permutation(n) for key in range(keys)])
    for own, reference, freedom in zip(
        bin_statistics(ours, bins),
        bin_statistics(theirs, bins),
        (bins * bins, bins * bins, bins),
        strict=True,
    ):
        # The limit is three standard deviations of a chi-square above NumPy's value. The keys are
        # fixed, so the test cannot fail by chance.
        assert own < reference + 3 * (2 * freedom) ** 0.5


def test_orders_of_neighbouring_keys_are_unrelated() -> None:
    for n in (TABLE, NETWORK):
        assert (permutation(n, 1)[:] == permutation(n, 2)[:]).mean() < 0.05


@pytest.mark.parametrize("n", [TABLE, NETWORK])
def test_ints_slices_and_arrays_of_positions_agree(n: int) -> None:
    order = permutation(n, 3)
    everything = order[:]
    assert len(order) == n
    assert [order[position] for position in range(50)] == everything[:50].tolist()
    assert type(order[np.int64(7)]) is int  # type: ignore[call-overload]
    for positions in (
        slice(10, 30),
        slice(None, None, -7),
        slice(-5, None),
        slice(n, None),
        np.array([3, 3, 0]),
        np.array([], dtype=np.int64),
        np.array([[1, 2], [n - 1, 0]]),
        np.arange(4, dtype=np.uint8),
    ):
        np.testing.assert_array_equal(order[positions], everything[positions])
        assert order[positions].dtype == np.int64


@pytest.mark.parametrize("n", [TABLE, NETWORK])
def test_an_array_of_positions_with_no_dimension_keeps_its_shape(n: int) -> None:
    order = permutation(n, 3)
    for position in range(20):
        assert order[np.array(position)] == order[position]


@pytest.mark.parametrize("n", [0, 1, TABLE, NETWORK])
@pytest.mark.parametrize("as_array", [False, True])
def test_a_position_outside_is_an_index_error(n: int, as_array: bool) -> None:
    order = permutation(n, 0)
    for position in (-1, n, n + 5):
        index: Any = np.array([position]) if as_array else position
        with pytest.raises(IndexError, match=rf"\[0, {n}\)"):
            order[index]


@pytest.mark.parametrize("n", [TABLE, NETWORK])
@pytest.mark.parametrize("positions", [np.array([0.5]), np.array([True, False]), 1.5, [1, 2]])
def test_positions_that_are_no_integers_are_a_type_error(n: int, positions: Any) -> None:
    with pytest.raises(TypeError):
        permutation(n, 0)[positions]


@pytest.mark.parametrize("n", [-1, 2**62 + 1])
def test_a_length_out_of_bounds_is_a_value_error(n: int) -> None:
    with pytest.raises(ValueError, match=r"n must be from 0 to 2\*\*62"):
        permutation(n, 0)


def test_a_negative_key_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        permutation(5, -1)


@pytest.mark.parametrize("n", [TABLE, NETWORK])
def test_a_seed_sequence_is_a_key_and_pickling_keeps_the_order(n: int) -> None:
    order = permutation(n, np.random.SeedSequence(8))
    np.testing.assert_array_equal(order[:], permutation(n, 8)[:])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(order))[:], order[:])


def test_an_order_of_any_length_takes_little_memory() -> None:
    assert TABLE <= TABLE_LENGTH < NETWORK
    assert len(pickle.dumps(permutation(2**62, 1))) < 2000
