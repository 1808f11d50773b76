"""The example that learns masks: it can only learn if images and masks move together."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("torch")

from raybatch.examples.segment import main

pytestmark = pytest.mark.slow


def test_masks_are_learned(tmp_path: Path, ray_cluster: None) -> None:
    rng = np.random.default_rng(0)
    colours = np.array([[40, 60, 90], [200, 80, 60], [90, 190, 120]])
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(48):
        # The classes are placed at random, so a mask that does not move with its image teaches
        # nothing.
        classes = rng.integers(0, 3, (5, 6), np.uint8).repeat(12, axis=0).repeat(12, axis=1)
        noisy = colours[classes] + rng.normal(0, 12, (*classes.shape, 3))
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        image.save(tmp_path / "images" / f"{number}.jpg", quality=95)
        mask = Image.frombytes("P", (72, 60), classes.tobytes())
        mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        mask.save(tmp_path / "masks" / f"{number}.png")
    folders = [str(tmp_path / "images"), str(tmp_path / "masks")]
    options = ["--classes", "3", "--epochs", "6", "--edge", "48", "--batch-size", "8"]
    done = CliRunner().invoke(main, [*folders, *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    shares = [float(share) for share in re.findall(r"([\d.]+)% of the pixels", done.output)]
    assert len(shares) == 6
    assert shares[-1] > 85


def test_a_folder_without_masks_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(tmp_path), str(tmp_path)])
    assert done.exit_code == 2
    assert "no *.png in" in done.output
