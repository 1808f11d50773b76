"""Sums of weighted bytes in vector registers, 32 bytes at a time, as functions for Numba's compiler.

Numba compiles loops over scalars, and what its optimiser makes of loops over the four bytes of a pixel is slow.
These functions give LLVM the vectors themselves; it knows the instructions of each machine for them. All take
addresses, and read and write what lies there unchecked; where this says 32 bytes, 32 bytes are touched.

The arithmetic is that of Pillow's `Resample.c`: weights are fixed-point numbers with 22 bits after the point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from raybatch.image.compiled.filters import LANES, WEIGHT_BITS

# Numba has no types for mypy.
_intrinsic: Callable[[Callable[..., Any]], Any] = intrinsic

_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES, _WORDS = ir.VectorType(_BYTE, LANES), ir.VectorType(_WORD, LANES)


@_intrinsic
def sum_rows(
    typing: Any, start: Any, stride: Any, weights: Any, taps: Any, out: Any
) -> tuple[Any, Callable[..., Any]]:
    """Write the weighted sum of `taps` ≥ 1 times 32 bytes, `stride` bytes apart, to the 32 bytes at `out`."""

    def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        start, stride, weights, taps, out = arguments
        _store(builder, _weighted_sum(builder, start, stride, weights, taps), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@_intrinsic
def transpose_8x8(
    typing: Any, start: Any, stride: Any, out: Any, out_stride: Any
) -> tuple[Any, Callable[..., Any]]:
    """Transpose 8 rows of 8 pixels of 4 bytes, which are `stride` and come to be `out_stride` bytes apart."""

    def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        start, stride, out, out_stride = arguments
        vector = ir.VectorType(_WORD, 8)
        rows = [_load(builder, _offset(builder, start, stride, row), vector) for row in range(8)]
        # Pairs, fours and eights of rows are interleaved, as the lanes of a vector register allow.
        for low, high, apart in (
            ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15], 1),
            ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15], 2),
            ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15], 4),
        ):
            mixed = list(rows)
            for row in range(8):
                if not row & apart:
                    pair = rows[row], rows[row + apart]
                    mixed[row] = _shuffled(builder, *pair, low)
                    mixed[row + apart] = _shuffled(builder, *pair, high)
            rows = mixed
        for column, place in enumerate((0, 2, 1, 3, 4, 6, 5, 7)):
            _store(builder, rows[place], _offset(builder, out, out_stride, column))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), code


@_intrinsic
def prefetch_256(typing: Any, start: Any) -> tuple[Any, Callable[..., Any]]:
    """Have the processor bring the 256 bytes from `start` on into its cache, should they exist."""

    def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        pointer = _BYTE.as_pointer()
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, *[_WORD] * 3])
        )
        for line in range(4):
            address = _offset(builder, arguments[0], ir.Constant(_LONG, 64), line)
            # To read, kept as long as can be, data.
            hints = [ir.Constant(_WORD, hint) for hint in (0, 3, 1)]
            builder.call(function, [builder.inttoptr(address, pointer), *hints])
        return context.get_dummy_value()

    return types.void(types.int64), code


def _pack_of(order: list[int]) -> Any:
    lanes = [4 * pixel + byte for pixel in order for byte in range(3)]

    @_intrinsic
    def function(typing: Any, start: Any, out: Any) -> tuple[Any, Callable[..., Any]]:
        def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            start, out = arguments
            pixels = _load(builder, start, _BYTES)
            _store(builder, _shuffled(builder, pixels, pixels, lanes), out)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), code

    return function


# pack(start, out): the first three bytes of each of 8 pixels of 4 bytes, to 24 bytes; in their order, or the last first
pack_8, pack_8_backwards = _pack_of(list(range(8))), _pack_of(list(range(7, -1, -1)))


def _load_of(bits: int, result: Any) -> Any:
    @_intrinsic
    def function(typing: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
        def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return _load(builder, arguments[0], ir.IntType(bits))

        return result(types.int64), code

    return function


def _store_of(value: Any) -> Any:
    @_intrinsic
    def function(typing: Any, address: Any, number: Any) -> tuple[Any, Callable[..., Any]]:
        def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            _store(builder, arguments[1], arguments[0])
            return context.get_dummy_value()

        return types.void(types.int64, value), code

    return function


# load(address) and store(address, value)
load_8, load_32 = _load_of(8, types.uint8), _load_of(32, types.uint32)
store_8, store_32 = _store_of(types.uint8), _store_of(types.uint32)


def _weighted_sum(builder: Any, start: Any, stride: Any, weights: Any, taps: Any) -> Any:
    """Return 32 bytes: the sums of `taps` times 32 bytes with int32 `weights`, rounded and clipped to 0..255."""
    before, tap, after = (
        builder.block,
        builder.append_basic_block("tap"),
        builder.append_basic_block("sum"),
    )
    builder.branch(tap)
    builder.position_at_end(tap)
    number, total = builder.phi(_LONG), builder.phi(_WORDS)
    number.add_incoming(ir.Constant(_LONG, 0), before)
    total.add_incoming(_every_lane(1 << (WEIGHT_BITS - 1)), before)
    pixels = _load(builder, builder.add(start, builder.mul(number, stride)), _BYTES)
    weight = _load(builder, builder.add(weights, builder.mul(number, ir.Constant(_LONG, 4))), _WORD)
    lane_0 = builder.insert_element(
        ir.Constant(_WORDS, ir.Undefined), weight, ir.Constant(_WORD, 0)
    )
    weight_lanes = _shuffled(builder, lane_0, lane_0, [0] * LANES)
    larger = builder.add(total, builder.mul(builder.zext(pixels, _WORDS), weight_lanes))
    following = builder.add(number, ir.Constant(_LONG, 1))
    number.add_incoming(following, tap)
    total.add_incoming(larger, tap)
    builder.cbranch(builder.icmp_signed("<", following, taps), tap, after)
    builder.position_at_end(after)
    rounded = builder.ashr(larger, _every_lane(WEIGHT_BITS))
    for comparison, limit in ((">", _every_lane(0)), ("<", _every_lane(255))):
        inside = builder.icmp_signed(comparison, rounded, limit)
        rounded = builder.select(inside, rounded, limit)
    return builder.trunc(rounded, _BYTES)


def _every_lane(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * LANES)


def _shuffled(builder: Any, first: Any, second: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(
        first, second, ir.Constant(ir.VectorType(_WORD, len(lanes)), lanes)
    )


def _offset(builder: Any, address: Any, stride: Any, count: int) -> Any:
    return builder.add(address, builder.mul(stride, ir.Constant(_LONG, count)))


def _load(builder: Any, address: Any, kind: Any) -> Any:
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = 1
    return loaded


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1
