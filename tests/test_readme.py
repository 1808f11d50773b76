"""The README's programs run as printed, and print what is printed below them; the package's names what is there."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from raybatch.cli.photos import make_photos

ROOT = Path(__file__).parent.parent
README, PACKAGE = ROOT / "README.md", ROOT / "raybatch"
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


def test_the_names_on_the_page_of_the_package_are_there() -> None:
    text = (PACKAGE / "README.md").read_text()
    named = set(re.findall(r"`([\w/]+(?:/|\.py))`", text))
    assert len(named) > 20
    missing = [name for name in named if not any((top / name).exists() for top in (PACKAGE, ROOT))]
    assert not missing


def test_the_tree_has_a_line_for_each_folder_and_module_of_the_package() -> None:
    tree = (PACKAGE / "README.md").read_text().split("```text\n")[1].split("```")[0]
    named = {line.split()[0] for line in tree.splitlines()}
    folders = {f"{path.parent.name}/" for path in PACKAGE.rglob("*.py")} - {"raybatch/"}
    modules = {path.name for path in PACKAGE.glob("[!_]*.py")}
    assert named == folders | modules
