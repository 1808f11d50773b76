"""A fingerprint of a source, to check that a saved state fits it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from raybatch.order.sampler import AbstractSampler
from raybatch.sources.array import RandomAccessDataSource
from raybatch.sources.mapped import unmapped
from raybatch.sources.mix import MixDataSource
from raybatch.sources.several import ChoiceDataSource, CompositeDataSource
from raybatch.sources.source import DataSource, nodes

# A longer description is replaced by its digest, to keep a state small.
_MAX_LENGTH = 200


def fingerprint(source: DataSource) -> dict[str, Any]:
    """Return the number of samples, structure and samplers of `source` as small JSON values.

    A mixture has one fingerprint for each member, by name, because weights and members can change.
    Paths and pixels are not included, because a data set can move.
    """
    mixture = unmapped(source)
    if isinstance(mixture, MixDataSource):
        named = zip(mixture.names, mixture.children, strict=True)
        return {"source": "mixture", "members": {name: _fixed(own) for name, own in named}}
    return _fixed(source)


def _fixed(source: DataSource) -> dict[str, Any]:
    """Return the properties of `source` that must not change."""
    samples = source.num_samples()
    samplers = [
        _describe(node.sampler)
        for node in nodes(source)
        if isinstance(node, RandomAccessDataSource)
    ]
    return {
        "source": _short(_structure(source)),
        "samples": "endless" if samples == np.inf else samples,
        "sampler": _short("; ".join(samplers)),
    }


def _structure(source: DataSource) -> str:
    # A function of batches does not change which samples are in a batch.
    source = unmapped(source)
    members = ", ".join(map(_structure, source.children))
    if isinstance(source, CompositeDataSource):
        return f"composite({members})"
    if isinstance(source, ChoiceDataSource):
        rule = "" if source.weights is None else f"; weights {source.weights}"
        return f"{'stratified ' if source.stratified else ''}choice({members}{rule})"
    if isinstance(source, MixDataSource):
        rule = f"{source.names}, {source.shares.stages}, {source.stop}, {source.length}"
        return f"mixture({members}; {rule})"
    return type(source).__name__


def _describe(sampler: AbstractSampler) -> str:
    values = ", ".join(f"{name}={_value(value)}" for name, value in sorted(vars(sampler).items()))
    return f"{type(sampler).__name__}({values})"


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()[:8]}"
    if isinstance(value, (list, tuple)):
        return _short(f"{type(value).__name__}({', '.join(map(_value, value))})")
    if isinstance(value, dict):
        return _short(", ".join(f"{_value(key)}: {_value(own)}" for key, own in value.items()))
    if isinstance(value, np.generic):
        return repr(value.item())
    return repr(value) if isinstance(value, (int, float, str)) else type(value).__name__


def _short(text: str) -> str:
    if len(text) <= _MAX_LENGTH:
        return text
    return f"{text[:100]}... {hashlib.sha256(text.encode()).hexdigest()[:16]}"
