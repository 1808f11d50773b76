"""The usual transforms of image models, for training and for evaluation."""

from __future__ import annotations

from raybatch.image.augment.crop import CenterCrop, RandomResizedCrop
from raybatch.image.augment.flip import RandomHorizontalFlip
from raybatch.image.augment.resize import Resize
from raybatch.image.augment.transform import Compose


def classification_train(size: int | tuple[int, int] = 224) -> Compose:
    """Return the transform for training: a random part, scaled to `size`, flipped at random."""
    return Compose([RandomResizedCrop(size), RandomHorizontalFlip()])


def classification_eval(size: int | tuple[int, int] = 224) -> Compose:
    """Return the transform for evaluation: the centre of the image at `size`.

    First the shorter edge is scaled to 256/224 of the longer edge of `size`.
    """
    longer = size if isinstance(size, int) else max(size)
    return Compose([Resize(round(longer * 256 / 224)), CenterCrop(size)])


PRESETS = {"train": classification_train, "eval": classification_eval}
