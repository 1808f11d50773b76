"""The programs of every README run as printed, and print the output below them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from raybatch.cli.photos import make_photos

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "tests" / "README.md",
    *sorted((ROOT / "raybatch").rglob("README.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_photos(tmp_path_factory.mktemp("photos"), 200)


def name_of(page: Path) -> str:
    return str(page.parent.relative_to(ROOT))


def test_every_program_is_followed_by_its_output() -> None:
    texts = {name_of(page): page.read_text() for page in PAGES}
    programs = {name: text.count("```python") for name, text in texts.items()}
    assert programs == {name: len(BLOCK.findall(text)) for name, text in texts.items()}
    assert sum(programs.values()) > 30


def test_links_lead_to_pages_and_headings() -> None:
    broken = []
    for page in PAGES:
        for path, heading in LINK.findall(page.read_text()):
            if path.startswith("https:"):
                continue
            target = (page.parent / path if path else page).resolve()
            if not target.exists():
                broken.append(f"{name_of(page)}: {path}")
            elif heading and heading not in headings(target):
                broken.append(f"{name_of(page)}: {path}#{heading}")
    assert not broken


def headings(page: Path) -> list[str]:
    """Return the anchors of a page's headings, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=name_of
)
def test_programs_print_what_the_page_says(
    page: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ray_cluster: None,
) -> None:
    for photo in photos:
        folder = tmp_path / "train" / photo.name[:3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / photo.name).hardlink_to(photo)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for program, output in BLOCK.findall(page.read_text()):
        if "torch" in program and find_spec("torch") is None:
            pytest.skip("from here on the programs need PyTorch, which is not installed")
        exec(compile(program, str(page), "exec"), names)
        assert capsys.readouterr().out == output
