"""A cache of a user's own accessor: the signatures and samples that the accessor may have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raybatch as rb

PLENTY = 10**8


def test_an_accessor_of_ones_own(tmp_path: Path) -> None:
    class Local:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: Any) -> Any:
            return np.asarray(index)[:, None] * np.ones(3)

    with pytest.raises(TypeError, match="cannot be pickled"):
        rb.CachedAccessor(Local(), tmp_path, PLENTY)
    Local.fingerprint = lambda self: {"kind": "rows", "version": 1}  # type: ignore[attr-defined]
    cached = rb.CachedAccessor(Local(), tmp_path, PLENTY)
    for _ in range(2):
        np.testing.assert_array_equal(cached[np.array([2, 1])], [[2] * 3, [1] * 3])
    assert cached.stats() == (2, 2)
    numbers = rb.CachedAccessor(np.arange(10.0), tmp_path, PLENTY)
    assert [numbers[3], numbers[3]] == [3.0, 3.0]
    assert numbers.stats() == (1, 1)


class Signed:
    """Three equal samples, whose signature is `made_from`."""

    def __init__(self, made_from: Any, sample: Any) -> None:
        self.made_from, self.sample = made_from, sample

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        return np.array([self.sample] * len(index))

    def fingerprint(self) -> dict[str, Any]:
        return {"kind": "signed"}

    def signature(self, position: int) -> Any:
        return self.made_from


@pytest.mark.parametrize("other", [(1, 2, 3, 4, 6), (1, 2, 3, 4), (1, 2, 3, 4, 2**64), ()])
def test_a_signature_may_be_any_integers(tmp_path: Path, other: tuple[int, ...]) -> None:
    rb.CachedAccessor(Signed((1, 2, 3, 4, 5), 7.0), tmp_path, PLENTY)[np.arange(3)]
    for _ in range(2):
        cached = rb.CachedAccessor(Signed(other, 9.0), tmp_path, PLENTY)
        assert cached[np.arange(3)].tolist() == [9.0] * 3
    assert cached.stats() == (3, 0)


@pytest.mark.parametrize("given", [(1.5,), ("etag",), None])
def test_a_signature_of_something_else_is_refused(tmp_path: Path, given: Any) -> None:
    cached = rb.CachedAccessor(Signed(given, 7.0), tmp_path, PLENTY)
    with pytest.raises(TypeError, match=r"signature\(1\) of a Signed must be a tuple of ints, not"):
        cached[1]


@pytest.mark.parametrize("sample", ["a word", np.zeros((), [("x", "i4"), ("y", "f4")])])
def test_samples_that_no_name_of_a_dtype_describes_are_refused(tmp_path: Path, sample: Any) -> None:
    cached = rb.CachedAccessor(Signed((), sample), tmp_path, PLENTY)
    with pytest.raises(TypeError, match=r"must be arrays of numbers, but a Signed gives .* of "):
        cached[1]


@pytest.mark.parametrize(
    ("name", "value"), [("shape", ["a"]), ("shape", [-1]), ("dtype", "|O"), ("dtype", "|V8")]
)
def test_a_damaged_layout_is_made_anew(tmp_path: Path, name: str, value: Any) -> None:
    rb.CachedAccessor(Signed((), 7.0), tmp_path, PLENTY)[1]
    (layout,) = tmp_path.glob("*/layout.json")
    before = layout.read_text()
    layout.write_text(json.dumps({**json.loads(before), name: value}))
    assert rb.CachedAccessor(Signed((), 7.0), tmp_path, PLENTY)[1] == 7.0
    assert layout.read_text() == before
