"""Conversions that lose information are reported once, with the name of the file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import raybatch as rb
from raybatch import notices
from raybatch.image.contact_sheet import contact_sheet

DEEP = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_told", {})


def saved(folder: Path, values: Any, suffix: str = ".tiff") -> str:
    path = folder / f"x{suffix}"
    Image.fromarray(values).save(path)
    return str(path)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "raybatch"]


@pytest.mark.parametrize(
    ("values", "mode", "line"),
    [
        (DEEP, "RGB", "from 0 to 65535, but mode='RGB' has only whole numbers from 0 to 255"),
        (DEEP, "L", "but mode='L' has only whole numbers from 0 to 255"),
        (DEEP.astype(">u2"), "RGB", "mode='I;16' keeps them"),
        (DEEP.astype(np.int32) - 9, "RGB", "from -9 to 65526, .* mode='I' keeps them"),
        (DEEP.astype(np.int32) + 1, "I;16", "from 1 to 65536, but mode='I;16' .* to 65535"),
        (DEEP.astype(np.float32) / 65535, "RGB", r"from 0.0 to 1.0, .* mode='F' keeps them"),
        (DEEP.astype(np.float32) / 65535, "I", r"from 0.0 to 1.0, "),
    ],
)
def test_values_that_are_cut_off_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: Any, mode: str, line: str
) -> None:
    path = saved(tmp_path, values)
    images = rb.ImageFileAccessor([path] * 3, (16, 16), mode=mode, resample="nearest")
    images[np.arange(3)]
    (text,) = told(caplog)
    assert text.startswith(f"{path!r} has values ")
    assert re.search(line, text)


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (DEEP // 257, "RGB"),
        ((DEEP // 257).astype(np.float32), "L"),
        (DEEP, "I;16"),
        (DEEP, "I"),
        (DEEP.astype(np.float32) - 9, "I"),
        (DEEP, "F"),
        (DEEP.astype(np.int32), "I;16"),
        (DEEP, None),
        ((DEEP // 257).astype(np.uint8), "I;16"),
    ],
)
def test_what_keeps_all_values_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, values: Any, mode: str | None
) -> None:
    path = saved(tmp_path, values)
    image = rb.NonUniformImageFileAccessor([path], mode=mode)[0]
    pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels if pixels.ndim == 2 else pixels[..., 0], values)
    assert told(caplog) == []


def test_what_everyone_expects_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = []
    for mode in ("RGBA", "LA", "P", "CMYK"):
        paths.append(str(tmp_path / f"{mode}.{'tiff' if mode == 'CMYK' else 'png'}"))
        Image.new(mode, (4, 4)).save(paths[-1])
    assert rb.ImageFileAccessor(paths, (4, 4))[np.arange(4)].shape == (4, 4, 4, 3)
    assert rb.ImageFileAccessor(paths, (4, 4), mode="L")[np.arange(4)].shape == (4, 4, 4)
    assert told(caplog) == []


def test_actors_tell_the_driver_once(
    ray_cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path, DEEP, ".png")
    source = rb.ArrayDataSource([rb.ImageFileAccessor([path] * 32, (16, 16))])
    with rb.RayActorPool(2) as pool:
        # The report comes with the first batch of an actor, not only with later ones.
        with rb.Loader(source, 32, pool=pool) as loader:
            next(iter(loader))
        (text,) = told(caplog)
        assert text.startswith(f"{path!r} has values from 0 to 65535")
        with rb.Loader(source, 2, pool=pool) as loader:
            for _ in range(2):
                assert sum(len(x) for (x,) in loader) == 32
        assert len(told(caplog)) == 1
        # With its notices cleared, this process acts like another program that shares the actors.
        notices._told.clear()
        with rb.Loader(source, 2, pool=pool) as loader:
            assert sum(len(x) for (x,) in loader) == 32
    assert len(told(caplog)) == 2


def test_a_program_sees_it_on_the_standard_error(tmp_path: Path) -> None:
    path = saved(tmp_path, DEEP, ".png")
    program = (
        "import sys, raybatch as rb\n"
        "source = rb.ArrayDataSource([rb.ImageFileAccessor([sys.argv[1]] * 8, (16, 16))])\n"
        "print(sum(len(x) for x, in rb.Loader(source, 2, pool=rb.ThreadPool(2))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "8\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"raybatch: {path!r} has values from 0 to 65535, but mode='RGB'")


def test_a_sheet_shows_deep_images_from_their_lowest_to_their_highest() -> None:
    sheet = contact_sheet([Image.fromarray(DEEP)], ["x"])
    assert sheet.tobytes() == contact_sheet([DEEP // 257], ["x"]).tobytes()
    assert len(np.unique(np.asarray(sheet)[6:22, 6:22])) == 256
