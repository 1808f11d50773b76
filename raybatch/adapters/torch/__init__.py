"""Batches for PyTorch: its own `DataLoader` on Ray actors, and those of a raybatch `Loader` as tensors."""

try:
    import torch  # noqa: F401 - its absence is told in the words below
except ImportError as error:
    raise ImportError(
        "raybatch.adapters.torch needs PyTorch: pip install 'raybatch[torch]'"
    ) from error

from raybatch.adapters.torch.data_loader import DataLoader, on_actors
from raybatch.adapters.torch.to_torch import LoaderDataset, to_torch

__all__ = ["DataLoader", "LoaderDataset", "on_actors", "to_torch"]
