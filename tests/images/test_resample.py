"""Compiled resampling has Pillow's pixels, bit for bit, for every filter, mode, size and box."""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from raybatch.image import augment, kernel, resampling
from raybatch.image.pixels import PixelLayout
from raybatch.image.reader import ImageReader
from raybatch.image.view import Crop, Scale, View
from raybatch.memory import ReusedMemory

FILTERS = [Image.Resampling[name] for name in ("BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")]
BANDS = {"RGB": 3, "L": 1, "CMYK": 4, "RGBX": 4, "YCbCr": 3, "HSV": 3}
BILINEAR = Image.Resampling.BILINEAR


pytestmark = pytest.mark.skipif(kernel.fault() is not None, reason=f"no kernel: {kernel.fault()}")


@pytest.fixture(params=kernel.VERSIONS)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each version of the kernel that this processor can run."""
    best = kernel.usable_kernel()
    assert best is not None
    if request.param not in best.versions:
        # The processor cannot run this version, so the best one is tested again. A skip would
        # suggest that something is missing that could be installed.
        monkeypatch.setattr(resampling, "usable_kernel", lambda: best)
        return best.versions[-1]
    chosen = kernel.Kernel(request.param)
    chosen.tall_vertical_first = best.tall_vertical_first
    monkeypatch.setattr(resampling, "usable_kernel", lambda: chosen)
    return str(request.param)


def noise(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an image of random bytes; for an odd `seed`, they are only 0 and 255.

    Filters overshoot most between pixels of 0 and 255.
    """
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width * BANDS[mode]), np.uint8)
    if seed % 2:
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
    return Image.frombytes(mode, (width, height), pixels.tobytes())


def scaled_view(image: Any, size: Any, resample: Image.Resampling, box: Any) -> View:
    view = View.of(resampling.size_of(image)).then(Scale(size, resample, box))
    assert view is not None
    return view


def resized(image: Any, size: Any, resample: Image.Resampling, box: Any) -> Image.Image:
    return resampling.image_of(image, scaled_view(image, size, resample, box))


def resample_into(image: Any, resample: Image.Resampling, box: Any, out: Any) -> bool:
    size = out.shape[1], out.shape[0]
    return resampling.write_view(image, scaled_view(image, size, resample, box), out)


def check(image: Image.Image, size: tuple[int, int], resample: Image.Resampling, box: Any) -> bool:
    """Check every way to resample against Pillow; return whether the kernel could do it."""
    wanted = np.asarray(image.resize(size, resample, box))
    about = f"{image.mode} {image.size} {box} -> {size} {resample.name}"
    guarded = np.full(wanted.size + 64, 77, np.uint8)
    out = guarded[32:-32].reshape(wanted.shape)
    used = resample_into(image, resample, box, out)
    if used:
        np.testing.assert_array_equal(out, wanted, about)
    assert (guarded[:32] == 77).all(), about
    assert (guarded[-32:] == 77).all(), about
    result = resized(image, size, resample, box)
    assert (result.mode, result.size) == (image.mode, size)
    np.testing.assert_array_equal(np.asarray(result), wanted, about)
    if image.mode in ("RGB", "L"):
        from_array = resized(np.asarray(image), size, resample, box)
        np.testing.assert_array_equal(np.asarray(from_array), wanted, about)
    part = (
        size[0] // 3,
        size[1] // 4,
        size[0] // 3 + 1 + size[0] // 2,
        size[1] // 4 + 1 + size[1] // 2,
    )
    part = (*part[:2], min(part[2], size[0]), min(part[3], size[1]))
    view = scaled_view(image, size, resample, box).then(Crop(part))
    assert view is not None
    window = np.asarray(resampling.image_of(image, view))
    np.testing.assert_array_equal(window, wanted[part[1] : part[3], part[0] : part[2]], about)
    return used


@pytest.mark.parametrize("resample", FILTERS, ids=lambda resample: resample.name)
@pytest.mark.usefixtures("version")
def test_any_shape_and_box(resample: Image.Resampling) -> None:
    rng = np.random.default_rng(resample)
    used, count = 0, 350
    for number in range(count):
        width, height, *size = np.exp(rng.uniform(0, np.log([160, 160, 120, 120]))).astype(int)
        image = noise(list(BANDS)[number % len(BANDS)], width, height, number)
        box: Any = (0, 0, width, height)
        if number % 3:
            left, right = sorted(rng.uniform(0, width, 2))
            top, bottom = sorted(rng.uniform(0, height, 2))
            box = (left, top, right, bottom)
        if number % 3 == 2:
            left, top = int(left), int(top)
            box = (left, top, rng.integers(left + 1, width + 1), rng.integers(top + 1, height + 1))
        used += check(image, (int(size[0]), int(size[1])), resample, box)
    # If the kernel refused most of these, the test would only compare Pillow with itself.
    assert used > 0.7 * count


@pytest.mark.parametrize("resample", FILTERS, ids=lambda resample: resample.name)
def test_every_small_size(resample: Image.Resampling) -> None:
    for width, height, *size in itertools.product((1, 2, 5), (1, 2, 4), (1, 3, 9), (1, 2, 7)):
        for mode in ("RGB", "L"):
            image = noise(mode, width, height, width)
            check(image, (size[0], size[1]), resample, (0, 0, width, height))


@pytest.mark.parametrize("suffix", ["bmp", "tiff"])
def test_an_image_in_memory_that_is_not_pillows(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mapped.{suffix}"
    noise("L", 60, 40).save(path)
    pixels = np.asarray(noise("L", 60, 40))
    for image in (Image.open(path), Image.fromarray(pixels)):
        image.load()
        assert image.readonly
        assert check(image, (31, 17), BILINEAR, (0, 0, 60, 40))
        assert image.readonly


@pytest.mark.parametrize("resample", FILTERS, ids=lambda resample: resample.name)
def test_extreme_pixels_are_clipped_as_pillow_clips_them(resample: Image.Resampling) -> None:
    rows, columns = np.indices((40, 50))
    for pixels in (
        np.zeros((40, 50)),
        np.full((40, 50), 255),
        (rows + columns) % 2 * 255,
        (rows // 3 + columns // 3) % 2 * 255,
    ):
        grey = Image.fromarray(pixels.astype(np.uint8))
        for image in (grey, grey.convert("RGB")):
            for size in ((50, 40), (13, 9), (111, 97), (100, 11), (11, 100)):
                assert check(image, size, resample, (0, 0, 50, 40))
                assert check(image, size, resample, (3.25, 1.5, 47.75, 39))


@pytest.mark.parametrize("source", [(500, 375), (333, 500), (1500, 90), (60, 900)], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_photographs(source: tuple[int, int], mode: str) -> None:
    image = noise(mode, *source)
    for resample, size in itertools.product(FILTERS, ((224, 224), (64, 64), (1, 300), (300, 1))):
        assert check(image, size, resample, (0, 0, *source))


@pytest.mark.parametrize("resample", FILTERS, ids=lambda resample: resample.name)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.usefixtures("version")
def test_narrow_images_that_become_wide(mode: str, resample: Image.Resampling) -> None:
    """One line of the result is longer than all the source lines of a strip together."""
    for width, size in itertools.product((1, 3, 28), ((5000, 37), (1200, 3), (700, 60))):
        assert check(noise(mode, width, 400, width), size, resample, (0, 0, width, 400))


@pytest.mark.parametrize("seed", [14, 26, 94, 96])
def test_the_constants_of_hamming_are_of_single_precision(seed: int) -> None:
    """With constants of double precision, one or two pixels of these images would differ."""
    width, height = 300 + seed % 97, 300 + seed % 89
    image = noise("L", width, height, seed)
    assert check(image, (211, 223), Image.Resampling.HAMMING, (0, 0, width, height))


def reader_pixels(reader: ImageReader, layout: PixelLayout, data: bytes) -> npt.NDArray[Any]:
    bound = layout.bound(reader.dtype, reader.channels)
    assert reader.size is not None
    out = np.full(bound.shape(*reader.size), 99, bound.dtype)
    reader.read_into(io.BytesIO(data), bound, out)
    return out


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    """A wide image, a tall one, and a narrow one that loses over twice as many rows as columns."""
    out = []
    for number, size in enumerate([(300, 225), (225, 300), (120, 400)]):
        file = io.BytesIO()
        small = noise("RGB", size[0] // 15, size[1] // 15, 2 * number)
        small.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG" if number else "PNG")
        out.append(file.getvalue())
    return out


LAYOUTS = [
    PixelLayout(),
    PixelLayout(channels_first=True),
    PixelLayout("float32"),
    PixelLayout(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
    PixelLayout(channels_first=True, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
    PixelLayout("float16"),
    PixelLayout("int32"),
]


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("decode", ["exact", "scaled"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_files_are_read_into_every_layout(
    files: list[bytes], fit: str, decode: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data, size, layout in itertools.product(files, [(32, 40), (77, 30), (30, 10)], LAYOUTS):
        if mode == "L" and layout.mean is not None:
            layout = PixelLayout(mean=0.5, std=0.2)
        reader = ImageReader(size, mode, fit=fit, resample="bicubic", decode=decode)
        got = reader_pixels(reader, layout, data)
        with monkeypatch.context() as patched:
            patched.setattr(resampling, "usable_kernel", lambda: None)
            wanted = reader_pixels(reader, layout, data)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("resized by Pillow")

    monkeypatch.setattr(Image.Image, "resize", fail)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize("layout", LAYOUTS[:5], ids=repr)
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_files_go_through_the_kernel(files: list[bytes], fit: str, layout: PixelLayout) -> None:
    for data in files:
        reader_pixels(ImageReader((32, 40), fit=fit), layout, data)


@pytest.mark.usefixtures("no_pillow")
def test_crops_go_through_the_kernel() -> None:
    crop = augment.Compose([augment.RandomResizedCrop(32), augment.RandomHorizontalFlip()])
    for seed in range(10):
        rng = np.random.default_rng(seed)
        image = noise("RGB", 90, 80)
        assert isinstance(crop(image, rng=rng), Image.Image)
        assert crop(np.asarray(image), rng=rng).shape == (32, 32, 3)


def test_crops_and_flips_are_those_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    crop = augment.RandomResizedCrop((30, 40))
    both = augment.Compose([crop, augment.RandomHorizontalFlip(), augment.RandomVerticalFlip()])
    array = np.asarray(noise("RGB", 160, 90))
    views = (array, array[10:, 20:], array[::2], array[:, ::2], array[::-1], array[..., ::-1])
    for seed, view in itertools.product(range(10), (*views, array[..., 0])):
        for transform in (crop, both):
            got = transform(view, rng=np.random.default_rng(seed))
            assert got.flags.writeable
            with monkeypatch.context() as patched:
                patched.setattr(resampling, "usable_kernel", lambda: None)
                image = Image.fromarray(np.ascontiguousarray(view))
                # Without the kernel, Pillow does every step, for images and for arrays.
                for alike in (image, view):
                    wanted = transform(alike, rng=np.random.default_rng(seed))
                    np.testing.assert_array_equal(got, np.asarray(wanted))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16", "I", "F", "La", "RGBa"])
def test_other_modes_are_left_to_pillow(mode: str) -> None:
    image = Image.radial_gradient("L")
    image = image if mode not in ("La", "RGBa") else image.convert(mode[:-1] + "A")
    image = image.convert(mode)
    box = (0.5, 1, 200, 150.25)
    got = resized(image, (33, 21), BILINEAR, box)
    assert got == image.resize((33, 21), BILINEAR, box)


@pytest.mark.parametrize(
    "resample", [one for one in Image.Resampling if one not in FILTERS], ids=str
)
def test_other_filters_are_left_to_pillow(resample: Image.Resampling) -> None:
    image = noise("RGB", 50, 40)
    assert not resample_into(image, resample, (0, 0, 50, 40), np.empty((9, 9, 3), "u1"))
    got = resized(image, (9, 9), resample, (0, 0, 50, 40))
    assert got == image.resize((9, 9), resample)


def test_images_in_several_blocks_are_left_to_pillow() -> None:
    image = Image.radial_gradient("L").convert("RGB").resize((3000, 1500))
    assert not resample_into(image, BILINEAR, (0, 0, 3000, 1500), np.empty((9, 9, 3), np.uint8))
    got = resized(image, (9, 9), BILINEAR, (0, 0, 3000, 1500))
    assert got == image.resize((9, 9), BILINEAR)


@pytest.mark.parametrize(
    "box", [(-1, 0, 5, 5), (0, 0, 51, 5), (9, 0, 5, 5), (0, 0, 5, float("nan")), (3, 3, 3, 9)]
)
def test_boxes_that_do_not_fit_are_left_to_pillow(box: Any) -> None:
    image, outcomes = noise("RGB", 50, 40), []
    for resize in (resized, Image.Image.resize):
        try:
            outcomes.append(np.asarray(resize(image, (9, 9), BILINEAR, box)).tolist())
        except ValueError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_the_result_is_an_image_of_its_own() -> None:
    image = noise("RGB", 50, 40)
    result = resized(image, (50, 40), BILINEAR, (0, 0, 50, 40))
    before = result.copy()
    image.putpixel((0, 0), (1, 2, 3))
    assert result == before
    result.putpixel((0, 0), (4, 5, 6))
    assert result.getpixel((0, 0)) == (4, 5, 6)
    assert image.getpixel((0, 0)) == (1, 2, 3)


def test_threads_do_not_disturb_each_other() -> None:
    images = [noise("RGB", 200 + 5 * number, 150, number) for number in range(16)]
    wanted = [np.asarray(image.resize((64, 48), BILINEAR)) for image in images]

    def resize(number: int) -> npt.NDArray[Any]:
        image = images[number % 16]
        return np.asarray(resized(image, (64, 48), BILINEAR, (0, 0, *image.size)))

    with ThreadPoolExecutor(4) as threads:
        for number, got in enumerate(threads.map(resize, range(800))):
            np.testing.assert_array_equal(got, wanted[number % 16])


def test_a_kernel_with_other_pixels_than_the_installed_pillow_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make: Any = kernel._kernels.__wrapped__
    resize = Image.Image.resize
    assert make()[1] is not None

    def brighter(self: Image.Image, *arguments: Any) -> Image.Image:
        return resize(self, *arguments).point(lambda value: value ^ 1)

    monkeypatch.setattr(Image.Image, "resize", brighter)
    assert make() == ("its pixels differ from Pillow's", None)


def test_a_kernel_that_was_not_built_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fault, made = kernel._kernels.__wrapped__()
    assert fault is not None
    assert "it was not built" in fault
    assert made is None


def test_a_kernel_of_other_sources_is_told_and_not_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kernel, "_joined", lambda files: b"int resample(void);")
    fault, made = kernel._kernels.__wrapped__()
    assert "reinstall raybatch" in str(fault)
    assert made is None
    assert "reinstall raybatch" in caplog.text


def test_where_pillow_is_faster_it_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(kernel.Kernel, "versions", ("plain",))
    fault, _ = kernel._kernels.__wrapped__()
    assert fault is not None
    assert "has no AVX2" in fault


def test_a_version_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "VERSIONS", (*kernel.VERSIONS, "next"))
    with pytest.raises(ValueError, match="cannot run 'next'"):
        kernel.Kernel("next")


GUARDED = """
import ctypes, itertools, math, mmap
import numpy as np
from raybatch.image.kernel import FILTERS, Kernel

PAGE, ROOM = mmap.PAGESIZE, 64 * mmap.PAGESIZE
protect = ctypes.CDLL(None, use_errno=True).mprotect
protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

def guarded():
    memory = mmap.mmap(-1, ROOM + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (start, start + PAGE + ROOM):
        assert protect(page, PAGE, 0) == 0
    return memory, start + PAGE

(source, source_start), (out, out_start) = guarded(), guarded()
table = np.arange(1024, dtype=np.float32)
widths, heights, sizes = (1, 2, 5, 15, 16, 40), (1, 2, 7, 33), ((1, 1), (7, 3), (16, 4), (33, 9))
for version in Kernel().versions:
    kernel = Kernel(version)
    for case in itertools.product(widths, heights, sizes, (1, 3, 4), (True, False), (0, 1), FILTERS[:2]):
        width, height, (columns, rows), pixel_bytes, last, item, name = case
        kernel.tall_vertical_first = last
        channels = min(pixel_bytes, 3)
        value_bytes = 4 if item else 1
        taken, written = width * height * pixel_bytes, columns * rows * channels * value_bytes
        place = source_start + (ROOM - taken if last else 0)
        to = out_start + (ROOM - written if last else 0)
        plane = (columns * 4, 4, rows * columns * 4) if item else (columns * channels, channels, 1)
        assert kernel.resample(
            (place, width * pixel_bytes, pixel_bytes, channels, width, height),
            (columns, rows), name, (0, 0, width, height), (to, *plane), table.ctypes.data if item else 0,
        )
    for images, size, channels, last in itertools.product((1, 3), (1, 7, 9, 10, 11, 24, 25), (1, 3, 4), (True, False)):
        shape = images, 1, size, channels
        taken = math.prod(shape)
        place, to = (start + (ROOM - length if last else 0) for start, length in ((source_start, taken), (out_start, 4 * taken)))
        pixels = np.frombuffer((ctypes.c_uint8 * taken).from_address(place), np.uint8).reshape(shape)
        floats = np.frombuffer((ctypes.c_float * taken).from_address(to), np.float32)
        planes = floats.reshape(images, channels, 1, size).transpose(0, 2, 3, 1)
        assert kernel.look_up(pixels, table.reshape(-1, 256)[:channels], planes)
print("read and written within bounds")
"""


def test_nothing_is_read_or_written_beyond_an_image() -> None:
    """The memory around the image is protected: the system ends a process that touches it."""
    result = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True)
    assert result.stdout == "read and written within bounds\n", (result.returncode, result.stderr)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("is_first", [False, True], ids=["last", "first"])
def test_bytes_are_looked_up_wherever_they_are_written_to(
    version: str, channels: int, is_first: bool
) -> None:
    """Some planes do not begin at a multiple of 32 bytes, and some do not fill the last vector."""
    chosen = kernel.Kernel(version)
    rng = np.random.default_rng(channels)
    table = rng.random((channels, 256), np.float32)
    for images, height, width, start in ((3, 8, 8, 0), (2, 5, 7, 3), (1, 1, 9, 0), (2, 3, 1, 1)):
        pixels = rng.integers(0, 256, (images, height, width, channels), np.uint8)
        memory = ReusedMemory().empty((start + pixels.size,), np.float32)
        out = memory[start:].reshape(
            (images, channels, height, width) if is_first else pixels.shape
        )
        seen = out.transpose(0, 2, 3, 1) if is_first else out
        assert chosen.look_up(pixels, table, seen)
        np.testing.assert_array_equal(seen, table[np.arange(channels), pixels])
        assert chosen.look_up(pixels[-1], table, seen[0])
        np.testing.assert_array_equal(seen[0], table[np.arange(channels), pixels[-1]])


def test_threads_of_a_large_host_look_up_a_part_of_the_images_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = kernel.Kernel()
    monkeypatch.setattr(kernel, "_cpus", lambda: 12)
    monkeypatch.setattr(kernel, "_BYTES_PER_THREAD", 1)
    callers: set[int] = set()
    look_up = chosen._look_up

    def noted(*arguments: Any) -> None:
        callers.add(threading.get_ident())
        look_up(*arguments)

    monkeypatch.setattr(chosen, "_look_up", noted)
    rng = np.random.default_rng(0)
    pixels, table = rng.integers(0, 256, (7, 5, 9, 3), np.uint8), rng.random((3, 256), np.float32)
    out = np.empty((7, 3, 5, 9), np.float32).transpose(0, 2, 3, 1)
    assert chosen.look_up(pixels, table, out)
    np.testing.assert_array_equal(out, table[np.arange(3), pixels])
    assert threading.get_ident() not in callers


PROGRAM = """
import hashlib, io
from raybatch.image import ImageReader, PixelLayout, kernel
from PIL import Image
import numpy as np
file = io.BytesIO()
Image.radial_gradient("L").save(file, "PNG")
reader = ImageReader((60, 50), resample="lanczos")
layout = PixelLayout(mean=0.5, std=0.25).bound(reader.dtype, reader.channels)
out = np.empty((60, 50, 3), np.float32)
reader.read_into(file, layout, out)
print(hashlib.sha256(out).hexdigest(), kernel.fault())
"""


def test_without_the_kernel_the_pixels_are_the_same() -> None:
    lines = []
    for setting in ("", "none"):
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "RAYBATCH_KERNEL": setting},
        )
        assert result.stderr == ""
        lines.append(result.stdout.split())
    assert lines[0][0] == lines[1][0]
    assert [line[1] for line in lines] == ["None", "RAYBATCH_KERNEL=none"]
