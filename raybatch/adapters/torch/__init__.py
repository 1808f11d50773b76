"""Batches for PyTorch: those of a `Loader` as tensors, or its samples."""

try:
    import torch  # noqa: F401 - its absence is told in the words below
except ImportError as error:
    raise ImportError(
        "raybatch.adapters.torch needs PyTorch: pip install 'raybatch[torch]'"
    ) from error

from raybatch.adapters.torch.samples import SampleDataset
from raybatch.adapters.torch.to_torch import LoaderDataset, RaggedTensors, to_torch

__all__ = ["LoaderDataset", "RaggedTensors", "SampleDataset", "to_torch"]
