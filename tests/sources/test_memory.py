"""Memory is reused once nothing refers to its array any more, and not before."""

from __future__ import annotations

import gc
import pickle
import tracemalloc

import numpy as np
import pytest

from raybatch.memory import ReusedMemory, batches_in, empty_batch


def place(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def decoy(size: int) -> np.ndarray:
    """Return an array of `size` bytes, to occupy memory of this size that was just freed."""
    return np.empty(size, np.uint8)


@pytest.mark.parametrize("size", [100, 10_000, 50_000_000])
def test_memory_comes_back_with_the_last_reference(size: int) -> None:
    memory = ReusedMemory()
    first = memory.empty((size // 4,), np.float32)
    start = place(first)
    del first
    kept = decoy(size)
    assert place(memory.empty((size // 4,), np.float32)) == start
    assert place(kept) != start


def test_a_view_keeps_it() -> None:
    memory = ReusedMemory()
    view = memory.empty((3, 4, 5), np.float32).transpose(0, 2, 1)[1:, ::2]
    view[:] = 7
    other = memory.empty((3, 4, 5), np.float32)
    other[:] = 1
    assert not np.shares_memory(view, other)
    assert (view == 7).all()


def test_a_tensor_keeps_it() -> None:
    torch = pytest.importorskip("torch")
    memory = ReusedMemory()
    tensor = torch.from_numpy(memory.empty((3, 4), np.float32)).requires_grad_()
    start = tensor.data_ptr()
    product = (tensor * tensor).sum()  # autograd keeps the tensor until `backward`
    del tensor
    other = memory.empty((3, 4), np.float32)
    assert place(other) != start
    product.backward()
    del product
    kept = decoy(48)
    assert place(memory.empty((3, 4), np.float32)) == start != place(kept)


def test_smaller_arrays_fit_and_larger_ones_get_more() -> None:
    memory = ReusedMemory()
    start = place(memory.empty((10, 100), np.float32))
    kept = decoy(4000)
    small = memory.empty((3, 100), np.float32)
    assert (small.shape, place(small)) == ((3, 100), start)
    del small
    assert place(memory.empty((10, 100), np.float32)) == start != place(kept)
    large = memory.empty((20, 100), np.float32)
    large[:] = 2
    assert (large.shape, large.sum()) == ((20, 100), 4000)
    assert memory.empty((0, 100), np.float32).shape == (0, 100)


def test_no_more_than_two_pieces_wait() -> None:
    memory, size = ReusedMemory(), 1_000_000
    tracemalloc.start()
    try:
        arrays = [memory.empty((size,), np.uint8) for _ in range(6)]
        assert tracemalloc.get_traced_memory()[0] > 6 * size
        arrays.clear()
        gc.collect()
        assert 2 * size < tracemalloc.get_traced_memory()[0] < 2.5 * size
    finally:
        tracemalloc.stop()


def test_an_array_outlives_the_memory_that_gave_it() -> None:
    array = ReusedMemory().empty((1000,), np.uint8)
    array[:] = 3
    kept = decoy(1000)
    kept[:] = 1
    assert (array == 3).all()


def test_a_pickled_one_begins_anew() -> None:
    memory = ReusedMemory(most_spare=1)
    memory.empty((1_000_000,), np.uint8)
    sent = pickle.dumps(memory)
    assert len(sent) < 1000
    copy = pickle.loads(sent)
    start = place(copy.empty((10,), np.uint8))
    kept = decoy(10)
    assert place(copy.empty((10,), np.uint8)) == start != place(kept)


def test_batches_lie_in_it_while_they_are_to() -> None:
    shape = (8, 3, 224, 224)
    memory = ReusedMemory()
    with batches_in(memory):
        first = empty_batch(shape, np.float32)
        assert (first.shape, first.dtype) == (shape, np.dtype(np.float32))
        start = place(first)
        assert start % 64 == 0
        row = first[3, 1]
        del first
        assert place(empty_batch(shape, np.float32)) != start, "a row of it is still there"
        del row
        places = {place(array) for array in [empty_batch(shape, np.float32) for _ in range(2)]}
        assert start in places
    assert empty_batch(shape, np.float32).base is None
