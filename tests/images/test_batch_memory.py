"""Memory of batches that is used again: never while somebody still has it."""

from __future__ import annotations

import numpy as np

from raybatch.accessors.batch_memory import BatchMemory, empty_batch

SHAPE = (8, 3, 224, 224)


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def test_it_is_used_again_when_nobody_has_it() -> None:
    memory = BatchMemory()
    with memory.used():
        first = empty_batch(SHAPE, np.float32)
        assert (first.shape, first.dtype) == (SHAPE, np.dtype(np.float32))
        where = address(first)
        assert where % 64 == 0
        row = first[3, 1]
        del first
        second = empty_batch(SHAPE, np.float32)
        assert address(second) != where, "a row of the first is still there"
        del row
        assert address(empty_batch(SHAPE, np.float32)) == where
        kept = [empty_batch(SHAPE, np.float32) for _ in range(7)]
        assert len({address(array) for array in kept}) == 7


def test_much_smaller_arrays_do_not_hold_it() -> None:
    memory = BatchMemory()
    with memory.used():
        large = empty_batch((64, *SHAPE[1:]), np.float32)
        where = address(large)
        del large
        assert address(empty_batch(SHAPE, np.float32)) != where
        tiny = empty_batch((3,), np.float32)
        assert tiny.base is None


def test_without_it_all_is_new() -> None:
    first = empty_batch(SHAPE, np.uint8)
    assert address(first) != address(empty_batch(SHAPE, np.uint8))
