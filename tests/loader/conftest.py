"""Fixtures for several tests of loaders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of twelve images."""
    made = tmp_path / "train"
    made.mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(made / f"{number:02}.png")
    return made
