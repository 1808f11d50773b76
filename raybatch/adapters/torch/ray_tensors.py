"""Sends objects to another process without copying their tensors."""

from __future__ import annotations

import io
import pickle
from typing import Any, NamedTuple

import numpy as np
import torch
from ray import cloudpickle

from raybatch.adapters.torch.writable_memory import writable_view
from raybatch.arrays import portable
from raybatch.pools.ray.tensor_views import viewed

# Smaller memory travels inside the pickled bytes: a separate part in Ray's store costs more time
# than it saves.
_MIN_PART_BYTES = 4096


class Packed(NamedTuple):
    """An object as pickled bytes `data`, and the memory of its large arrays and tensors.

    Each of `parts` is uint8 `(nbytes,)`.
    """

    data: bytes
    parts: tuple[Any, ...]


def packed(value: Any) -> Packed:
    """Return `value` in a form that Ray sends without copying; errors are those of pickling."""
    parts: list[Any] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        memory = buffer.raw()
        if memory.nbytes < _MIN_PART_BYTES:
            return True
        parts.append(np.frombuffer(memory, np.uint8))
        return False

    file = io.BytesIO()
    pickler: Any = _Pickler(file, protocol=5, buffer_callback=is_small)  # type: ignore[no-untyped-call]
    pickler.dump(value)
    return Packed(file.getvalue(), tuple(parts))


def unpacked(value: Packed, *, is_owned: bool) -> Any:
    """Return the object that was `packed`.

    If `is_owned`, nobody else reads the memory of `value`, so arrays and tensors stay there and are
    writable. Otherwise arrays are read-only, and tensors, which cannot be read-only, are copies.
    """
    parts = map(writable_view, value.parts) if is_owned else value.parts
    return pickle.loads(value.data, buffers=parts)


class _Pickler(cloudpickle.Pickler):
    """Pickles the memory of tensors out of band, as NumPy does for arrays."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is torch.Tensor:
            whole = viewed(_without_the_rest(obj))
            return whole.__reduce_ex__(5)
        if isinstance(obj, torch.storage.TypedStorage):
            return _typed_storage, (obj._untyped_storage, obj.dtype)
        if isinstance(obj, torch.UntypedStorage) and obj.device.type == "cpu":
            return _storage_at, (pickle.PickleBuffer(_memory_of(obj)),)
        if isinstance(obj, np.ndarray) and (other := portable(obj)) is not obj:
            return other.__reduce__()
        return super().reducer_override(obj)  # type: ignore[no-untyped-call]


def _without_the_rest(tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor`, or a copy if it uses only a part of its storage, which would all be sent."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.requires_grad:
        return tensor
    is_whole = tensor.nbytes >= tensor.untyped_storage().nbytes()
    return tensor if is_whole else tensor.clone()


def _memory_of(storage: torch.UntypedStorage) -> Any:
    return torch.empty(0, dtype=torch.uint8).set_(storage).numpy()


def _typed_storage(untyped: torch.UntypedStorage, dtype: torch.dtype) -> Any:
    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)


def _storage_at(buffer: Any) -> torch.UntypedStorage:
    memory = np.frombuffer(buffer, np.uint8)
    memory = memory if memory.flags.writeable else memory.copy()
    return torch.from_numpy(memory).untyped_storage()
