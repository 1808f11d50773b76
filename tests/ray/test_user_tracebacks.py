"""An error of the program's own, from an actor: its traceback has the program's frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.pools.ray import packed_error


def looked_up(x: Any) -> Any:
    raise KeyError(f"no {x}")


def own_function(x: Any, rng: np.random.Generator) -> Any:
    return (looked_up(x),) if x == 5 else (x,)


def test_the_programs_frames_are_shown(actors: rb.RayActorPool) -> None:
    source = rb.ArrayDataSource([np.arange(8)]).map_samples(own_function)
    with (
        rb.Loader(source, 8, pool=actors) as loader,
        pytest.raises(rb.errors.BatchError, match="sample 5: KeyError: 'no 5'") as caught,
    ):
        list(loader)
    error = caught.value.__cause__
    assert isinstance(error, KeyError)
    text = str(error.__cause__)
    assert "in own_function" in text
    assert "in looked_up" in text
    assert packed_error._PACKAGE not in text
    assert len(text.splitlines()) <= 12


def test_an_error_of_this_package_keeps_its_last_frame() -> None:
    try:
        rb.ArrayDataSource([np.arange(3)])[3]
    except IndexError as error:
        text = packed_error._foreign_traceback(error)
    assert "in test_an_error_of_this_package" in text
    try:
        raise rb.errors.BatchError(0, 0, "x") from _raised_within()
    except rb.errors.BatchError as error:
        text = packed_error._foreign_traceback(error)
    assert text.count(packed_error._PACKAGE) == 1


def _raised_within() -> Exception:
    try:
        rb.ArrayDataSource([np.arange(3)])[3]
    except IndexError as error:
        assert error.__traceback__ is not None
        return error.with_traceback(error.__traceback__.tb_next)
    raise AssertionError
