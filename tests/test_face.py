"""The names that `import raybatch` offers, and the texts that represent its objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import raybatch as rb
from raybatch.image import augment
from tests.stores.test_classes import make


def test_what_a_program_writes_is_there() -> None:
    names = set(dir(rb))
    assert {"RayActorPool", "adapters", "augment", "ImageFolder", *rb.__all__} <= names
    assert not names & {"Any", "logging", "sys", "importlib", "TYPE_CHECKING", "arrays", "checks"}
    # Names that `from raybatch import *` leaves out are still attributes of the package.
    for name in ("SubsetSampler", "MapDataSource", "ImageList", "data_source", "packing", "image"):
        assert hasattr(rb, name)
        assert name in names
    for name in names:
        getattr(rb, name)
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        rb.nosuch  # noqa: B018


def test_adapters_are_imported_when_they_are_used() -> None:
    program = """
import sys
import raybatch as rb
assert rb.augment.RandomResizedCrop and rb.adapters and dir(rb) and dir(rb.adapters)
print([name for name in ("ray", "torch", "jax") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    pytest.importorskip("torch", reason="the adapter needs torch")
    assert rb.adapters.torch.DataLoader.__name__ == "DataLoader"


def unchanged(x: object, y: object, rng: object) -> tuple[object, object]:
    return x, y


def test_things_say_what_they_hold(tmp_path: Path) -> None:
    data = rb.ImageFolder(make(tmp_path, ["a/1.png", "b/1.png"]), size=4)
    folder = "ImageFolder(2 samples, 2 classes, ImageFileAccessor(2 images, size=(4, 4)))"
    assert repr(data) == folder
    mapped = data.map_samples(unchanged)
    assert repr(mapped) == f"SampleMapDataSource(2 samples, unchanged, {folder})"
    loader = rb.Loader(data, 2, shuffle=True, seed=3, pool=rb.ThreadPool(2), split=(0, 2))
    wanted = (
        f"Loader({folder}, batch_size=2, shuffle=3, split=(0, 2), ThreadPool(2 threads), epoch 0)"
    )
    assert repr(loader) == wanted
    assert "in order, InlinePool()" in repr(rb.Loader(data, 2))
    arrays = rb.ArrayDataSource({"x": np.ones((3, 2)), "y": rb.ItemAccessor([1, 2, 3])}, repeats=-1)
    assert (
        repr(arrays)
        == "ArrayDataSource(samples without end, x=array float64[3, 2], y=ItemAccessor(3 items of"
        " list))"
    )
    assert repr(rb.WeightedSampler(np.ones(3), 5)) == "WeightedSampler(5 samples)"


def test_no_address_is_in_a_repr(tmp_path: Path) -> None:
    root = make(tmp_path, ["a/1.png"])
    change = augment.Compose([augment.Resize((4, 4)), lambda image, rng: image])
    sources = [
        rb.ImageFolder(root, transform=change),
        rb.ArrayDataSource([rb.ItemAccessor([1])]).map(lambda x: (x,)),
        rb.IteratorDataSource(iter([])),
        rb.CallableDataSource(lambda batch_size: iter([])),
    ]
    for source in sources:
        assert " at 0x" not in repr(source)
        assert len(repr(source)) < 400
