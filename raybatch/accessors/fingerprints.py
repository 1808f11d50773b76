"""Fingerprints, which identify the samples of an array-like by its settings, paths or values."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from typing import Any

import numpy as np

from raybatch.arrays import portable, sample_count

_DIGITS = 32


def fingerprint_of(array: Any) -> dict[str, Any]:
    """Return a JSON-serialisable fingerprint of everything that the samples of `array` depend on.

    If `array` has a method `fingerprint()`, this method's result is returned. The fingerprint of an
    accessor covers its settings and paths, but not the contents of the files. For a NumPy array it
    is a digest of the values, and for any other object a digest of its pickle. A memory map or an
    h5py data set also has the size and time of its file. TypeError if it cannot be pickled.
    """
    if hasattr(array, "fingerprint"):
        facts = array.fingerprint()
    elif type(array) is np.ndarray and not array.dtype.hasobject:
        facts = {"kind": "ndarray", "dtype": array.dtype.str, "shape": array.shape}
        facts["values"] = short_digest(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    else:
        facts = {"kind": type(array).__qualname__, "samples": sample_count(array)}
        stored = portable(array)
        facts["pickle"] = pickle_digest(stored)
        if stored is not array:  # the pickle of a memory map or an h5py data set only names a file
            status = os.stat(getattr(array, "filename", None) or array.file.filename)
            facts["file"] = [status.st_size, status.st_mtime_ns]
    as_json: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return as_json


def short_digest(data: Any) -> str:
    """Return a digest of the bytes of `data`."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def pickle_digest(value: Any) -> str:
    """Return a digest of the pickle of `value`; TypeError if it cannot be pickled."""
    sink = _Digest()
    try:
        pickle.Pickler(sink, protocol=5).dump(value)
    except Exception as error:
        raise TypeError(f"{type(value)} cannot be pickled: {error}") from error
    return sink.hash.hexdigest()[:_DIGITS]


class _Digest:
    """A file that keeps only a digest of the bytes written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)
