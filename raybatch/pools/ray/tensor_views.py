"""Tensors of dtypes that torch cannot unpickle, such as uint16 and float8: they travel as integers of as many bytes."""

from __future__ import annotations

import sys
from typing import Any

from raybatch.structure import map_arrays


def with_tensors_viewed(batch: Any) -> Any:
    """Return `batch` with what can be pickled in place of such tensors; unpickled, they are tensors again."""
    return map_arrays(viewed, batch) if "torch" in sys.modules else batch


def viewed(leaf: Any) -> Any:
    """Return `leaf`, or if it is such a tensor a `_Viewed` of it; torch must be loaded."""
    torch: Any = sys.modules["torch"]
    # torch writes these in a form that it does not read: https://github.com/pytorch/pytorch,
    # `_rebuild_tensor_v3`.
    is_new = type(leaf) is torch.Tensor and leaf.dtype in torch.storage._new_dtypes()
    return _Viewed(leaf) if is_new else leaf


class _Viewed:
    """A tensor that is pickled as a tensor of integers, and its dtype."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        torch: Any = sys.modules["torch"]
        integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        same_bytes = self.tensor.detach().view(integers[self.tensor.dtype.itemsize])
        return _viewed_as, (same_bytes, self.tensor.dtype)


def _viewed_as(tensor: Any, dtype: Any) -> Any:
    return tensor.view(dtype)
