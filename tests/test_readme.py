"""The README's programs run as printed, and print what is printed below them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from raybatch.cli.photos import make_photos

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_every_program_is_followed_by_its_output() -> None:
    text = README.read_text()
    assert text.count("```python") == len(BLOCK.findall(text)) >= 4


def test_programs_print_what_the_readme_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ray_cluster: None,
) -> None:
    (tmp_path / "train").mkdir()
    make_photos(tmp_path / "train", 200)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    has_torch = find_spec("torch") is not None
    for program, output in BLOCK.findall(README.read_text()):
        if has_torch or "import torch" not in program:
            exec(compile(program, str(README), "exec"), names)
            assert capsys.readouterr().out == output
    if not has_torch:
        pytest.skip("the programs that need PyTorch were left out: it is not installed")
