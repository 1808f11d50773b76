"""Random crops, warps and colours for training, policies that combine them, and mixed batches.

Names, parameters and distributions are those of torchvision's transforms for PIL images
(https://pytorch.org/vision/stable/transforms.html). The random numbers differ: they come from the
`np.random.Generator` that the caller passes. So a sample that is made again is the same:

    crop_and_flip = augment.Compose(
        [augment.RandomResizedCrop(224), augment.RandomHorizontalFlip()]
    )

    def augment_sample(x, y, rng):
        return crop_and_flip(x, rng=rng), y

    source = rb.ArrayDataSource([images, labels]).map_samples(augment_sample)
"""

from raybatch.image.augment.chance import RandomApply, RandomChoice
from raybatch.image.augment.color import (
    ColorJitter,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from raybatch.image.augment.covering import GaussianBlur, RandomErasing
from raybatch.image.augment.crop import CenterCrop, RandomCrop, RandomResizedCrop
from raybatch.image.augment.flip import RandomHorizontalFlip, RandomVerticalFlip
from raybatch.image.augment.mask_transform import for_masks
from raybatch.image.augment.mixing import CutMix, MixUp
from raybatch.image.augment.per_size import PerSize
from raybatch.image.augment.policies import AugMix, AutoAugment, RandAugment, TrivialAugmentWide
from raybatch.image.augment.presets import classification_eval, classification_train
from raybatch.image.augment.resize import Letterbox, Resize
from raybatch.image.augment.targets import Targets
from raybatch.image.augment.transform import Compose, Drawn, Geometric, Transform
from raybatch.image.augment.warping import RandomAffine, RandomPerspective, RandomRotation

__all__ = [
    "AugMix",
    "AutoAugment",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Drawn",
    "GaussianBlur",
    "Geometric",
    "Letterbox",
    "MixUp",
    "PerSize",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "Targets",
    "Transform",
    "TrivialAugmentWide",
    "classification_eval",
    "classification_train",
    "for_masks",
]
