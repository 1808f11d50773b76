"""For PyTorch: its `DataLoader` on Ray actors, and a `Loader` that gives tensors or samples."""

try:
    import torch  # noqa: F401 - only to raise the error below
except ImportError as error:
    raise ImportError(
        "raybatch.adapters.torch needs PyTorch: pip install 'raybatch[torch]'"
    ) from error

from raybatch.adapters.torch.data_loader import DataLoader, on_actors
from raybatch.adapters.torch.samples import SampleDataset
from raybatch.adapters.torch.to_torch import LoaderDataset, RaggedTensors, to_torch

__all__ = ["DataLoader", "LoaderDataset", "RaggedTensors", "SampleDataset", "on_actors", "to_torch"]
