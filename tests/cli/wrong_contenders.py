"""Contenders of a bench that are each wrong in one way."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from raybatch.bench.recipes import MEAN, STD, normalise
from raybatch.bench.work import Batches, Work, plain_loop
from raybatch.image import augment


def other_filter(work: Work) -> Batches:
    """Yield the images as another resampling filter scales them."""
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
    """Pass the check of the pixels, but then yield less than an epoch."""
    yield from list(plain_loop(work))[: (1 if work.epochs > 1 else None)]


def unnormalised(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
        yield images * std + mean, indices


def levels(work: Work) -> Batches:
    for images, indices in unnormalised(work):
        yield images * np.float32(255), indices


def too_dark(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        yield images - np.float32(1), indices


def not_a_number(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        images[-1, 0, 0, 0] = np.nan
        yield images, indices


def channels_last(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        yield np.moveaxis(images, 1, -1), indices


def blue_first(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        yield images[:, ::-1], indices


def indices_of_the_next(work: Work) -> Batches:
    for images, indices in plain_loop(work):
        yield images, np.roll(indices, 1)


def same_draws_each_epoch(work: Work) -> Batches:
    yield from work.epochs * list(plain_loop(replace(work, epochs=1)))


def whole_images(work: Work) -> Batches:
    """Scale the whole image, and mirror it at random."""
    yield from _changed(work, lambda image, rng: image.resize(work.size[::-1]))


def large_parts(work: Work) -> Batches:
    yield from _changed(work, augment.RandomResizedCrop(work.size, scale=(0.5, 1.0)))


def _changed(work: Work, change: Callable[..., Image.Image]) -> Batches:
    rng, flip = np.random.default_rng(0), augment.RandomHorizontalFlip()
    for indices in work.epochs * work.batch_indices():
        images = work.empty_batch(len(indices))
        for row, index in zip(images, indices, strict=True):
            with Image.open(work.paths[index]) as image:
                normalise(np.asarray(flip(change(image, rng=rng), rng=rng)), row)
        yield images, indices
