"""Batches for PyTorch: those of a `Loader` as tensors."""

try:
    import torch  # noqa: F401 - its absence is told in the words below
except ImportError as error:
    raise ImportError(
        "raybatch.adapters.torch needs PyTorch: pip install 'raybatch[torch]'"
    ) from error

from raybatch.adapters.torch.to_torch import LoaderDataset, to_torch

__all__ = ["LoaderDataset", "to_torch"]
