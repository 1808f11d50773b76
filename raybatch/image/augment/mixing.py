"""Transforms that mix the images of a batch with one another, and their labels in proportion."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raybatch.checks import counted, is_number, positive_int
from raybatch.structure import described, is_container, is_plain_tuple, leaves, map_leaves, members

_CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class _Mixing(ABC):
    alpha: float = 1.0
    num_classes: int | None = None
    labels_getter: str | Callable[[Any], Any] = "default"

    # Distinguishes it from changes of single images.
    is_of_batches = True

    def __post_init__(self) -> None:
        if not is_number(self.alpha) or not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha must be above 0, not {self.alpha!r}")
        if self.num_classes is not None:
            positive_int("num_classes", self.num_classes)
        if self.labels_getter != "default" and not callable(self.labels_getter):
            raise TypeError(
                f'labels_getter must be "default" or a function, not {self.labels_getter!r}'
            )

    def __call__(self, *batch: Any, rng: np.random.Generator) -> Any:
        whole: Any = batch if len(batch) != 1 or not is_container(batch[0]) else batch[0]
        labels = self._labels(whole)
        if not any(leaf is labels for leaf in leaves(whole)):
            raise TypeError(
                f"the labels {described(labels)} are not one of the arrays of the batch:"
                " labels_getter= must return the array itself. Change it with map() before"
            )
        images = self._images(whole, labels)
        shares = self._shares(labels)
        if len(images) != len(shares):
            raise ValueError(
                f"the batch has {counted(len(images), 'image')}, but"
                f" {counted(len(shares), 'label')}"
            )
        mixed, own = self.mixed(np.asarray(images), rng)
        one, other = np.float32(own), np.float32(1 - own)
        changed = {id(images): mixed, id(labels): shares * one + np.roll(shares, 1, 0) * other}
        return map_leaves(lambda leaf: changed.get(id(leaf), leaf), whole)

    @abstractmethod
    def mixed(
        self, images: npt.NDArray[Any], rng: np.random.Generator
    ) -> tuple[npt.NDArray[Any], float]:
        """Return the mixed images, and the share of the original image in each."""

    def _images(self, batch: Any, labels: Any) -> Any:
        """Return the images of `batch`.

        TypeError if there are none, or several arrays that could be images, such as masks.
        """
        found = [leaf for leaf in leaves(batch) if leaf is not labels and np.ndim(leaf) >= 3]
        if len(found) == 1:
            return found[0]
        name = type(self).__name__
        if not found:
            raise TypeError(
                f"{name} found no images in {described(batch)}: images have the shape (n, H, W),"
                " or 4 axes. Does labels_getter= return the labels?"
            )
        raise TypeError(
            f"{name} can only mix images and their labels, but {described(batch)} has {len(found)}"
            " arrays with the shape of images; masks cannot be mixed"
        )

    def _labels(self, batch: Any) -> Any:
        if callable(self.labels_getter):
            return self.labels_getter(batch)
        found = members(batch)
        if is_plain_tuple(batch):
            # The indices of samples may come before the images.
            after = itertools.dropwhile(lambda member: np.ndim(member) < 3, batch)
            following = list(after)[1:2]
            if not following:
                raise TypeError(
                    f"{type(self).__name__} found no labels after the images in {described(batch)};"
                    " give labels_getter="
                )
            return self._labels(following[0]) if is_container(following[0]) else following[0]
        names = [name for name in found if isinstance(name, str) and "label" in name.lower()]
        exact = [name for wanted in ("labels", "label") for name in names if name.lower() == wanted]
        if not exact and len(names) != 1:
            raise TypeError(
                f'which of the fields {list(found)} has the labels? Name it "labels", or give'
                " labels_getter="
            )
        return found[(exact or names)[0]]

    def _shares(self, labels: Any) -> npt.NDArray[np.float32]:
        """Return the labels as float32 (n, classes)."""
        labels = np.asarray(labels)
        if labels.ndim == 2:
            if self.num_classes not in (None, labels.shape[1]):
                raise ValueError(
                    f"the labels have {labels.shape[1]} classes, but num_classes is"
                    f" {self.num_classes}"
                )
            return np.asarray(labels, np.float32)
        if labels.ndim != 1 or labels.dtype.kind not in "iub":
            raise ValueError(
                f"labels must be integers (n,) or shares (n, classes), not {labels.dtype} of shape"
                f" {labels.shape}"
            )
        if self.num_classes is None:
            raise ValueError("num_classes is needed if the labels are class numbers")
        labels = labels.astype(np.int64)
        if len(labels) and not (labels.min() >= 0 and labels.max() < self.num_classes):
            raise ValueError(
                f"labels must be from 0 to num_classes - 1 = {self.num_classes - 1}, not"
                f" {labels.min()} to {labels.max()}"
            )
        return np.asarray(np.equal.outer(labels, np.arange(self.num_classes)), np.float32)


@dataclass(frozen=True, kw_only=True)
class MixUp(_Mixing):
    """Blend each image of a batch with the one before it, and the labels in the same proportions.

        source.map(augment.MixUp(num_classes=1000), rng=True)

    A batch is a tuple of images, labels and perhaps more, or a dict. The labels of a dict are the
    field "labels" or "label", or the only field with "label" in its name. Otherwise
    `labels_getter(batch)` must return the array of the batch that has the labels. TypeError if
    another array has the shape of images, as masks have.

    Labels are integers (n,), of `num_classes` classes, or float shares (n, classes); they become
    float32 (n, classes). Images are (n, H, W), (n, H, W, C) or (n, C, H, W), and keep their dtype;
    integers are rounded. Each batch draws one share from Beta(`alpha`, `alpha`).

    From "mixup: Beyond Empirical Risk Minimization" (Zhang et al., 2018).
    """

    def mixed(
        self, images: npt.NDArray[Any], rng: np.random.Generator
    ) -> tuple[npt.NDArray[Any], float]:
        own = float(rng.beta(self.alpha, self.alpha))
        kind = images.dtype if images.dtype.kind == "f" else np.dtype(np.float32)
        blend = images * kind.type(own)
        blend += np.roll(images, 1, 0) * kind.type(1 - own)
        return (
            blend if images.dtype.kind == "f" else np.rint(blend, out=blend).astype(images.dtype)
        ), own


@dataclass(frozen=True, kw_only=True)
class CutMix(_Mixing):
    """Replace a rectangle of each image by one of the image before it; mix labels by area.

    Batches and labels are as for `MixUp`. The rectangle has the same random place in all images of
    a batch. Its share of the area is 1 minus a number from Beta(`alpha`, `alpha`); parts of it
    outside the image are cut off.

    From "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features"
    (Yun et al., 2019).
    """

    def mixed(
        self, images: npt.NDArray[Any], rng: np.random.Generator
    ) -> tuple[npt.NDArray[Any], float]:
        last = images.ndim == 3 or (
            images.shape[-1] in _CHANNELS and images.shape[1] not in _CHANNELS
        )
        height, width = images.shape[1:3] if last else images.shape[2:4]
        edge = 0.5 * math.sqrt(1 - rng.beta(self.alpha, self.alpha))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        half_width, half_height = int(edge * width), int(edge * height)
        columns = slice(max(x - half_width, 0), min(x + half_width, width))
        rows = slice(max(y - half_height, 0), min(y + half_height, height))
        mixed = images.copy()
        part = (slice(None), rows, columns) if last else (slice(None), slice(None), rows, columns)
        mixed[part] = np.roll(images[part], 1, 0)
        area = (columns.stop - columns.start) * (rows.stop - rows.start)
        return mixed, 1 - area / (width * height)
