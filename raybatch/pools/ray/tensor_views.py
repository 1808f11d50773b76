"""Sends tensors of dtypes that torch cannot unpickle, such as uint16 and float8, as integers."""

from __future__ import annotations

import sys
from typing import Any

from raybatch.structure import map_arrays


def with_tensors_viewed(batch: Any) -> Any:
    """Return `batch` with a picklable object for each such tensor. It unpickles as the tensor."""
    return map_arrays(viewed, batch) if "torch" in sys.modules else batch


def viewed(leaf: Any) -> Any:
    """Return `leaf`, or a `_Viewed` if it is such a tensor. torch must be loaded."""
    torch: Any = sys.modules["torch"]
    # torch pickles these dtypes by `torch._utils._rebuild_tensor_v3`, a form that it cannot
    # unpickle.
    is_new = type(leaf) is torch.Tensor and leaf.dtype in torch.storage._new_dtypes()
    return _Viewed(leaf) if is_new else leaf


class _Viewed:
    """A tensor that is pickled as its dtype and a tensor of integers of the same size."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        torch: Any = sys.modules["torch"]
        integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        same_bytes = self.tensor.detach().view(integers[self.tensor.dtype.itemsize])
        return _viewed_as, (same_bytes, self.tensor.dtype)


def _viewed_as(tensor: Any, dtype: Any) -> Any:
    return tensor.view(dtype)
