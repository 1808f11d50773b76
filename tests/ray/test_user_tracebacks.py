"""Errors of the program's code in an actor: the traceback shows the program's frames."""

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
    text = packed_error._foreign_traceback(_raised_within())
    assert text.count(packed_error._PACKAGE) == 1
    assert "IndexError: index 3 is out of range" in text


def _raised_within() -> BaseException:
    with pytest.raises(IndexError) as caught:
        rb.ArrayDataSource([np.arange(3)])[3]
    assert caught.tb.tb_next is not None
    return caught.value.with_traceback(caught.tb.tb_next)
