"""Contenders of a bench that are wrong in one way each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from raybatch.bench import plain
from raybatch.bench.work import Work

Batches = Iterator[tuple[Any, Any]]


def other_filter(work: Work) -> Batches:
    """Give what another resampling filter makes of each image."""
    height, width = work.size
    for indices in work.batch_indices():
        images = [Image.open(work.paths[index]) for index in indices]
        scaled = [image.resize((width, height), Image.Resampling.BICUBIC) for image in images]
        yield np.stack([np.asarray(image) for image in scaled]), indices


def other_order(work: Work) -> Batches:
    yield from reversed(list(plain.batches(work)))


def one_batch_twice(work: Work) -> Batches:
    batches = list(plain.batches(work))
    yield from [batches[0], *batches[:-1]]


def floats(work: Work) -> Batches:
    for images, indices in plain.batches(work):
        yield images.astype(np.float32), indices


def raising(work: Work) -> Batches:
    yield next(plain.batches(work))
    raise ZeroDivisionError("in the\nsecond batch")


def dying(work: Work) -> Batches:
    yield next(plain.batches(work))
    os._exit(3)


def half_an_epoch(work: Work) -> Batches:
    """Pass the look at the pixels, and then give less than was asked for."""
    yield from list(plain.batches(work))[: (1 if work.epochs > 1 else None)]
