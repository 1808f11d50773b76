"""The pages of `scan --html` and `bench --html`, in a real browser."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import raybatch as rb
from raybatch.bench.contenders import CONTENDERS, PLAIN, Contender
from raybatch.bench.measures import Times
from raybatch.bench.race import Race, Round
from raybatch.bench.report import report
from raybatch.bench.work import Work
from raybatch.cli import main
from raybatch.cli.bench_report import write_bench_page
from raybatch.cli.image_forms import images_named
from raybatch.cli.options import ActorOptions
from raybatch.cli.output import Output
from raybatch.cli.scan_advice import advice
from raybatch.cli.scan_command import scan_images

pytestmark = pytest.mark.slow

SCRIPT = "<script>document.title='taken'<.jpg"
HANDLER = "<img src=x onerror=document.title='taken'>"
VIEWS = {"laptop": (1280, False), "phone": (390, True)}


class Browser:
    """A headless Chromium that shows one page at a time."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, view: str, scheme: str) -> None:
        """Show `page` on a laptop or a phone, in a light or dark colour scheme."""
        width, mobile = VIEWS[view]
        screen = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": mobile}
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        self.driver.get(page.as_uri())

    def value(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def check(self, screenshot: Path) -> None:
        """Check the properties that every page has in every view, and save a screenshot."""
        assert self.driver.get_log("browser") == []
        assert self.value("document.scripts.length") == 0
        assert self.value("document.title !== 'taken'")
        assert self.value("document.images.length") > 0
        assert self.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert self.value("performance.getEntriesByType('resource').length") == self.value(
            "performance.getEntriesByType('resource').filter(r =>"
            " r.name.startsWith('data:')).length"
        )
        root = "document.documentElement"
        assert self.value(f"{root}.scrollWidth <= {root}.clientWidth"), "the page scrolls sideways"
        assert self.driver.save_screenshot(str(screenshot))
        with Image.open(screenshot) as shot:
            assert len(np.unique(np.asarray(shot.convert("RGB")).reshape(-1, 3), axis=0)) > 20

    def brightness(self) -> float:
        """Return the brightness of the background, from 0 to 255."""
        colour = self.value("getComputedStyle(document.body).backgroundColor")
        return float(np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]]))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def odd(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, some of them broken, whose names are full of markup."""
    root = tmp_path_factory.mktemp("odd") / "a <b> & 'c'"
    for name in ("cat", HANDLER):
        (root / name).mkdir(parents=True)
        for path in photos[:12]:
            shutil.copy(path, root / name)
    (root / "cat" / SCRIPT).write_text("no image")
    (root / "cat" / f"{HANDLER}.jpg").write_bytes(Path(photos[0]).read_bytes()[:900])
    shutil.copy(photos[20], root / "cat" / f"good {SCRIPT}")
    shutil.copy(photos[21].encode(), bytes(root / "cat") + b"/no \xff text.jpg")
    return root


@pytest.fixture(scope="module")
def scan_page(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("scan") / "scan.html"
    result = CliRunner().invoke(main, ["scan", str(odd), "--actors", "0", "--html", str(page)])
    assert result.exit_code == 1, result.output
    return page


@pytest.fixture(scope="module")
def bench_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with the figures of two contenders, and with a third contender that failed."""
    broken = Contender("broken", "Broken <b>", "broken", "none:none")
    race = Race(Work(("x",), (1, 1), 1, 1), [CONTENDERS["stretch"][0], PLAIN, broken], rounds=2)
    for standing in race.standings[:2]:
        standing.state = "right"
        for number in range(2):
            times = Times(3.0, 0.5, images=100, began=0.0, ended=1.0 + number)
            standing.rounds[number] = Round(times, cpu_s=2.0, peak_bytes=10**6)
    race.standings[2].state, race.standings[2].note = "failed", f"no {HANDLER}"
    race.standings[2].log = "</pre>" + HANDLER
    page = tmp_path_factory.mktemp("bench") / "bench.html"
    write_bench_page(report(race), page)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_the_pages_look_right_anywhere(
    browser: Browser, scan_page: Path, bench_page: Path, view: str, scheme: str, tmp_path: Path
) -> None:
    for page in (scan_page, bench_page):
        browser.open(page, view, scheme)
        browser.check(tmp_path / f"{page.stem}.png")
        assert (browser.brightness() > 128) == (scheme == "light")


def test_the_picture_of_a_bench_fits_the_screen(browser: Browser, bench_page: Path) -> None:
    shown = set()
    for view in VIEWS:
        for scheme in ("light", "dark"):
            browser.open(bench_page, view, scheme)
            shown.add(browser.value("document.images[0].currentSrc"))
    assert len(shown) == 4


def test_the_scan_page_tells_what_there_is(browser: Browser, scan_page: Path, odd: Path) -> None:
    browser.open(scan_page, "laptop", "light")
    assert browser.value("document.title") == f"Scan of {odd}"
    text = browser.value("document.body.innerText")
    assert str(odd) in text
    for found in (SCRIPT, f"{HANDLER}.jpg", "2 files cannot be read", "image file is truncated"):
        assert found in text
    assert browser.value("document.images.length") == 26
    alternatives = browser.value("[...document.images].map(i => i.alt)")
    assert str(odd / "cat" / f"good {SCRIPT}") in alternatives
    assert browser.value("document.querySelectorAll('.columns').length") == 2


def test_the_bench_page_tells_who_was_not_timed(browser: Browser, bench_page: Path) -> None:
    browser.open(bench_page, "laptop", "light")
    text = browser.value("document.body.innerText")
    cpus = f"{len(os.sched_getaffinity(0))} CPUs"
    for found in ("raybatch (Ray actors)", "plain loop", "Broken <b>", f"no {HANDLER}", cpus):
        assert found in text
    browser.value("document.querySelector('details').open = true")
    assert f"</pre>{HANDLER}" in browser.value("document.body.innerText")


def test_thumbnails_are_squares_of_the_images(scan_page: Path) -> None:
    uris = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', scan_page.read_text())
    assert len(uris) == 26
    for uri in uris:
        with Image.open(io.BytesIO(base64.b64decode(uri))) as image:
            assert image.size == (160, 160)


def made(root: Path, kinds: dict[str, tuple[int, str, tuple[int, int]]]) -> Path:
    """Make a folder of images, and return it.

    `kinds` maps each class to the number, the mode and the size of its images.
    """
    for name, (count, mode, size) in kinds.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            colour = 10 * number if mode == "I;16" else (10 * number,) * len(mode)
            Image.new(mode, size, colour).save(root / name / f"{number}.png")
    return root


def findings(root: Path, size: tuple[int, int]) -> list[str]:
    found = advice(
        scan_images(Output(as_json=True), images_named(str(root)), ActorOptions(0)), size
    )
    return [f"{one.finding}: {one.remedy} {one.code}" for one in found]


def test_a_folder_without_faults_needs_no_advice(tmp_path: Path) -> None:
    root = made(tmp_path, {"a": (3, "RGB", (20, 20)), "b": (3, "RGB", (21, 20))})
    assert findings(root, (16, 16)) == []


def test_advice_on_large_and_small_images(photos: list[str], tmp_path: Path) -> None:
    root = made(tmp_path, {"a": (3, "RGB", (64, 48))})
    (large,) = findings(root, (20, 24))
    assert large.startswith("100% of the images are far larger than 20 × 24: decode them once")
    assert f"raybatch pack {root} OUT --size 20x24" in large
    (small,) = findings(root, (50, 50))
    assert small.startswith("100% of the images are smaller than 50 × 50")
    (shrunk,) = findings(Path(photos[0]).parent, (20, 20))
    assert 'decode="scaled"' in shrunk


def test_advice_on_modes_copies_and_classes(tmp_path: Path) -> None:
    kinds = {"a": (11, "RGB", (20, 20)), "b": (1, "RGBA", (20, 20)), "c": (1, "I;16", (20, 20))}
    root = made(tmp_path, kinds)
    shutil.copy(root / "a" / "0.png", root / "a" / "copy.png")
    with Image.open(root / "a" / "1.png") as image:
        image.getexif()[0x0112] = 6
        image.save(root / "a" / "1.png", exif=image.getexif())
    copies, turned, transparent, deep, classes = findings(root, (16, 16))
    assert copies.startswith("1 file is a copy of another: write a list of it, and leave it out")
    (root / "a" / "text.jpg").write_text("no image")
    bad, copies, *_ = findings(root, (16, 16))
    assert bad.startswith("1 file cannot be read: write a list of it, and leave it out with")
    assert copies.startswith("1 file is a copy of another: add it to the list, so that")
    assert "exif_orientation=True" in turned
    assert 'background="white"' in transparent
    assert deep.startswith("1 file has more than 8 bits")
    assert classes.startswith("There are 12 images of a and 1 of b: draw the rare class more often")


def test_a_page_of_nothing_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    page = tmp_path / "scan.html"
    result = CliRunner().invoke(main, ["scan", str(tmp_path), "--actors", "0", "--html", str(page)])
    assert result.exit_code == 1
    for text in ("1 file cannot be read", "total size of those that can be read"):
        assert text in page.read_text()


def test_packed_files_have_no_page(photos: list[str], tmp_path: Path) -> None:
    images = rb.ImageFileAccessor(photos[:4], size=(8, 8))
    rb.pack(rb.ArrayDataSource([images]), tmp_path / "packed")
    result = CliRunner().invoke(main, ["scan", str(tmp_path / "packed"), "--html", "x.html"])
    assert (result.exit_code, "--html is for images" in result.output) == (2, True)
