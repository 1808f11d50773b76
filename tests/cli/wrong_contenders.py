"""Contenders of a bench that are wrong in one way each."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from raybatch.bench.work import Batches, Work, plain_loop


def other_filter(work: Work) -> Batches:
    """Give what another resampling filter makes of each image."""
    height, width = work.size
    for indices in work.batch_indices():
        images = [Image.open(work.paths[index]) for index in indices]
        scaled = [image.resize((width, height), Image.Resampling.BICUBIC) for image in images]
        yield np.stack([np.asarray(image) for image in scaled]), indices


def other_order(work: Work) -> Batches:
    yield from reversed(list(plain_loop(work)))


def one_batch_twice(work: Work) -> Batches:
    batches = list(plain_loop(work))
    yield from [batches[0], *batches[:-1]]


def floats(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        yield images.astype(np.float32), indices


def raising(work: Work) -> Batches:
    yield next(plain_loop(work))
    raise ZeroDivisionError("in the\nsecond batch")


def dying(work: Work) -> Batches:
    yield next(plain_loop(work))
    os._exit(3)


def half_an_epoch(work: Work) -> Batches:
    """Pass the look at the pixels, and then give less than was asked for."""
    yield from list(plain_loop(work))[: (1 if work.epochs > 1 else None)]
