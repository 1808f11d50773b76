"""Contenders of the training recipe with their own decoders and transforms, in their fastest way.

Each imports its library itself, in its own process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from raybatch.bench.contenders import AbsentError
from raybatch.bench.peers import through_spdl, through_torch
from raybatch.bench.recipes import MEAN, STD, normalise
from raybatch.bench.work import Batches, Work
from raybatch.image.augment import RandomResizedCrop


class _Changed:
    """The images of `work` as a PyTorch data set, read by `read` and changed by `change`."""

    def __init__(self, work: Work, read: Any, change: Any) -> None:
        self._work, self._read, self._change = work, read, change

    def __len__(self) -> int:
        return len(self._work.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self._change(self._read(self._work.paths[index])), index


def torchvision_pillow(work: Work) -> Batches:
    """Load with Pillow and torchvision's transforms in a DataLoader, as its examples do."""
    from torchvision.transforms import v2

    changes = v2.Compose([*_geometry(work), v2.PILToTensor(), *_floats()])
    yield from through_torch(work, _Changed(work, _open, changes))


def torchvision(work: Work) -> Batches:
    """Load with torchvision's decoder and its transforms of tensors, in a DataLoader."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    def read(path: str) -> Any:
        return decode_image(path, ImageReadMode.RGB)

    changes = v2.Compose([*_geometry(work), *_floats()])
    yield from through_torch(work, _Changed(work, read, changes))


def _open(path: str) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")


def _geometry(work: Work) -> list[Any]:
    from torchvision.transforms import v2

    return [v2.RandomResizedCrop(work.size, antialias=True), v2.RandomHorizontalFlip()]


def _floats() -> list[Any]:
    import torch
    from torchvision.transforms import v2

    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD, inplace=True)]


def dali(work: Work) -> Batches:
    """Load with DALI's pipeline on the CPU, whose decoder decodes only the random part."""
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.base_iterator import LastBatchPolicy
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    @pipeline_def(  # type: ignore[untyped-decorator, unused-ignore] # DALI may not be installed
        batch_size=work.batch_size,
        num_threads=work.workers,
        device_id=None,
        exec_dynamic=True,  # hands batches over without a copy
    )
    def pipeline() -> Any:
        files, indices = fn.readers.file(
            files=list(work.paths),
            labels=list(range(len(work.paths))),
            random_shuffle=True,
            pad_last_batch=True,
            name="files",
        )
        parts = fn.decoders.image_random_crop(
            files, device="cpu", random_area=(0.08, 1.0), random_aspect_ratio=(3 / 4, 4 / 3)
        )
        scaled = fn.resize(parts, size=work.size, interp_type=types.INTERP_LINEAR, antialias=True)
        images = fn.crop_mirror_normalize(
            scaled,
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=[255 * value for value in MEAN],
            std=[255 * value for value in STD],
            mirror=fn.random.coin_flip(),
        )
        return images, indices

    batches = DALIGenericIterator(
        pipeline(),
        ["images", "indices"],
        reader_name="files",
        last_batch_policy=LastBatchPolicy.PARTIAL,
        auto_reset=True,
    )
    for _ in range(work.epochs):
        for (batch,) in batches:
            yield batch["images"], batch["indices"].flatten()


def spdl(work: Work) -> Batches:
    """Load each batch in one thread of SPDL's pipeline, with its decoder and FFmpeg's filters."""
    import spdl.io

    try:
        spdl.io.demux_image(work.paths[0])
    except RuntimeError as error:
        if "libspdl" in str(error):
            needs = "no libraries of FFmpeg, which SPDL's decoder needs: install FFmpeg 4 or later"
            raise AbsentError(needs) from error
        raise

    def read_batch(indices: Any) -> Any:
        images, rng = work.empty_batch(len(indices)), np.random.default_rng()
        for row, index in zip(images, indices, strict=True):
            packets = spdl.io.demux_image(work.paths[index])
            filters = _filters(work.size, packets.codec, rng)
            frame = spdl.io.decode_packets(packets, filter_desc=filters)
            normalise(spdl.io.to_numpy(spdl.io.convert_frames(frame)), row)
        return images

    yield from through_spdl(work, read_batch)


def _filters(size: tuple[int, int], stored: Any, rng: np.random.Generator) -> str:
    """Return FFmpeg's filters for a random part, scaled to `size` and flipped at random."""
    height, width = size
    left, top, right, bottom = RandomResizedCrop(size).box(stored.width, stored.height, rng)
    filters = [
        f"crop={right - left}:{bottom - top}:{left}:{top}:exact=1",
        f"scale={width}:{height}:flags=bilinear",
        "format=pix_fmts=rgb24",
    ]
    if rng.random() < 0.5:
        filters.append("hflip")
    return ",".join(filters)
