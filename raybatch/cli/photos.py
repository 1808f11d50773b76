"""Makes natural-looking pictures from noise, for commands that are given no images."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

_SCENE_SIZE = (1200, 900)
_SCENES = 12
_EDGES = (280, 620)
_ASPECTS = (0.667, 0.75, 0.75, 1.0, 1.333)


def make_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write `count` JPEG files of varied sizes, named dog_* and cat_*, to `folder`.

    Return their paths.
    """
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as executor:
        scenes = list(executor.map(_scene, np.random.SeedSequence(seed).spawn(_SCENES)))
        seeds = np.random.SeedSequence([seed, 1]).spawn(count)

        def write(number: int) -> Path:
            return _write_cut(folder, number, scenes, np.random.default_rng(seeds[number]))

        return list(executor.map(write, range(count)))


def _write_cut(
    folder: Path, number: int, scenes: list[Image.Image], rng: np.random.Generator
) -> Path:
    scene = scenes[rng.integers(len(scenes))]
    aspect = rng.choice(_ASPECTS)
    width = int(rng.integers(*_EDGES))
    height = int(width * aspect)
    zoom = rng.uniform(0.8, min(scene.width / width, scene.height / height))
    left = rng.uniform(0, scene.width - width * zoom)
    top = rng.uniform(0, scene.height - height * zoom)
    box = (left, top, left + width * zoom, top + height * zoom)
    cut = scene.resize((width, height), Image.Resampling.BILINEAR, box=box)
    path = folder / f"{rng.choice(['dog', 'cat'])}_{number:05d}.jpg"
    cut.save(path, quality=int(rng.integers(85, 96)))
    return path


def _scene(seed: np.random.SeedSequence) -> Image.Image:
    """Return a picture of noise at many scales, with shapes drawn over it.

    As in photographs, higher frequencies have less power.
    """
    rng = np.random.default_rng(seed)
    octaves = [_clouds(rng, 3 * 2**octave) / 1.7**octave for octave in range(8)]
    light = np.sum(octaves, axis=0)
    tint = np.stack([_clouds(rng, 3) for _ in range(3)], axis=-1)
    palette = rng.uniform(90, 150) + rng.uniform(-22, 22, size=3)
    pixels = palette + 36 * light[..., None] + 9 * tint
    scene = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    _draw_shapes(scene, rng)
    return scene


def _clouds(rng: np.random.Generator, cells: int) -> npt.NDArray[np.float32]:
    width, height = _SCENE_SIZE
    grid = rng.standard_normal((max(2, cells * height // width), cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize(_SCENE_SIZE, Image.Resampling.BICUBIC))


def _draw_shapes(scene: Image.Image, rng: np.random.Generator) -> None:
    """Draw shapes with edges, each filled with the picture's own texture at another brightness."""
    for _ in range(14):
        mask = Image.new("L", _SCENE_SIZE)
        x, y = rng.uniform(0, scene.width), rng.uniform(0, scene.height)
        rx, ry = rng.uniform(20, 220, size=2)
        ImageDraw.Draw(mask).ellipse(
            (x - rx, y - ry, x + rx, y + ry), fill=int(rng.integers(120, 240))
        )
        mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 4)))
        gain = rng.uniform(0.5, 1.7) * rng.uniform(0.85, 1.15, size=3)
        bands = [
            band.point(lambda value, g=g: value * g)
            for band, g in zip(scene.split(), gain, strict=True)
        ]
        scene.paste(Image.merge("RGB", bands), mask=mask)
