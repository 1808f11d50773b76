"""A view of an image has the pixels that Pillow computes step by step, bit for bit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from raybatch.image import augment, kernel, resampling
from raybatch.image.augment.transform import Geometric
from raybatch.image.decoding import Decoding, Encoded
from raybatch.image.pixels import PixelLayout
from raybatch.image.reader import ImageReader
from raybatch.image.view import Crop, Mirror, Scale, Step, View
from raybatch.image.viewed import InMemory, Viewed

MODES = ["RGB", "L", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "F", "I", "I;16", "1"]
FILTERS = [Image.Resampling[name] for name in ("NEAREST", "BOX", "BILINEAR", "BICUBIC", "LANCZOS")]


def noise(mode: str, width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return image.convert("L").convert(mode) if mode in ("LA", "I") else image.convert(mode)


def by_pillow(image: Image.Image, step: Step) -> Image.Image:
    """Return `image` after one step, computed by Pillow without a view."""
    if isinstance(step, Scale):
        return image.resize(step.size, step.resample, step.box)
    if isinstance(step, Mirror):
        image = ImageOps.mirror(image) if step.columns else image
        return ImageOps.flip(image) if step.rows else image
    assert isinstance(step, Crop)
    left, top, right, bottom = step.rectangle
    bands = len(image.getbands())
    fill: Any = step.fill if bands == 1 else (step.fill,) * bands
    canvas = Image.new(image.mode, (right - left, bottom - top), fill)
    canvas.paste(image, (-left, -top))
    return canvas


@st.composite
def steps(draw: st.DrawFn, width: int, height: int) -> list[Step]:
    """Return up to five steps that are possible for an image of this size."""
    made: list[Step] = []
    for kind in draw(st.lists(st.sampled_from(["scale", "crop", "pad", "mirror"]), max_size=5)):
        if kind == "mirror":
            made.append(Mirror(draw(st.booleans()), draw(st.booleans())))
            continue
        if kind == "pad":
            edges = [draw(st.integers(0, 3)) for _ in range(4)]
            fill = draw(st.sampled_from([0, 255, 7]))
            made.append(Crop((-edges[0], -edges[1], width + edges[2], height + edges[3]), fill))
            width, height = width + edges[0] + edges[2], height + edges[1] + edges[3]
            continue
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
        if kind == "crop":
            made.append(Crop((left, top, right, bottom)))
            width, height = right - left, bottom - top
            continue
        width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
        resample = draw(st.sampled_from(FILTERS))
        made.append(Scale((width, height), resample, (left, top, right, bottom)))
    return made


@pytest.fixture(params=["kernel", "Pillow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "Pillow":
        monkeypatch.setattr(resampling, "usable_kernel", lambda: None)
    elif fault := kernel.fault():
        pytest.skip(f"no kernel: {fault}")
    return str(request.param)


def viewed(pixels: Any, of: Sequence[Step]) -> Viewed:
    seen = Viewed.all_of(InMemory(pixels))
    for step in of:
        seen = seen.then(step)
    return seen


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("mode", MODES)
def test_any_steps_have_the_pixels_of_one_after_the_other(mode: str) -> None:
    layouts = [PixelLayout(), PixelLayout(channels_first=True)]
    if mode in ("RGB", "L", "CMYK"):
        layouts += [PixelLayout(mean=0.4, std=0.3), PixelLayout(np.float32, channels_first=True)]
    reader = ImageReader(mode=mode)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.data(), st.integers(1, 50), st.integers(1, 50))
    def check(data: st.DataObject, width: int, height: int) -> None:
        image = wanted = noise(mode, width, height)
        of = data.draw(steps(width, height))
        for step in of:
            wanted = by_pillow(wanted, step)
        seen = viewed(image, of)
        assert seen.size == wanted.size
        got = seen.image()
        assert got.mode == mode
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))
        for layout in layouts:
            bound = layout.bound(reader.dtype, reader.channels)
            out = np.full(bound.shape(*wanted.size[::-1]), 77, bound.dtype)
            seen.write(bound, out)
            expected = np.empty_like(out)
            bound.write(wanted, expected)
            np.testing.assert_array_equal(out, expected)
        if mode in ("RGB", "L"):
            before = np.asarray(image).copy()
            array = viewed(before, of).array()
            assert array.flags.c_contiguous or np.shares_memory(array, before)
            np.testing.assert_array_equal(array, np.asarray(wanted))

    check()


def test_the_steps_of_a_recipe_are_one_view() -> None:
    crop, flip = augment.RandomResizedCrop(224), augment.RandomHorizontalFlip(p=1)
    center = augment.Compose([augment.Resize(256), augment.CenterCrop(224), flip])
    padded = augment.Compose([augment.RandomCrop(32, padding=4), flip, flip])
    both = augment.Compose([flip, crop, flip])
    for change in (augment.Compose([crop, flip]), center, padded, both, augment.Letterbox(64)):
        view: View | None = View.of((640, 480))
        rng = np.random.default_rng(1)
        parts = change.transforms if isinstance(change, augment.Compose) else [change]
        for part in parts:
            assert isinstance(part, Geometric)
            assert view is not None
            for step in part.steps(*view.size, rng):
                view = view.then(step)
                assert view is not None, change


def test_a_second_scaling_is_of_the_pixels_of_the_first() -> None:
    view = View.of((64, 48)).then(Scale((32, 32), Image.Resampling.BILINEAR, (0, 0, 64, 48)))
    assert view is not None
    assert view.then(Scale((16, 16), Image.Resampling.BILINEAR, (0, 0, 32, 32))) is None


@pytest.mark.parametrize(
    ("view", "wanted"),
    [
        (Scale((160, 160), Image.Resampling.BILINEAR, (0, 0, 2000, 1500)), 4),
        (Scale((224, 224), Image.Resampling.BILINEAR, (0, 0, 2000, 1500)), 2),
        (Scale((224, 224), Image.Resampling.BILINEAR, (500, 500, 1000, 1000)), 1),
        (Scale((224, 224), Image.Resampling.BILINEAR, (500, 400, 1500, 1400)), 2),
        (Crop((0, 0, 224, 224)), 1),
    ],
)
def test_the_decoder_shrinks_as_far_as_the_box_allows(view: Step, wanted: int) -> None:
    data = io.BytesIO()
    noise("RGB", 2000, 1500).save(data, "JPEG")
    with Image.open(data) as image:
        source = Encoded(image, Decoding("RGB", None, False, 2.0, ("JPEG",), 10**8, None))
        pixels, _ = source.pixels(Viewed.all_of(source).then(view).view)
    assert isinstance(pixels, Image.Image)
    assert pixels.size == (2000 // wanted, 1500 // wanted)


def psnr(one: Any, other: Any) -> float:
    difference = np.asarray(one).astype(float) - np.asarray(other)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_scaled_view_is_near_the_exact_one(orientation: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((601, 449), 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    smooth.save(data, kind, exif=exif)
    change = augment.Compose(
        [
            augment.RandomHorizontalFlip(),
            augment.RandomResizedCrop(64, scale=(0.4, 1.0)),
            augment.RandomVerticalFlip(),
        ]
    )
    for seed in range(8):
        images = []
        for decode in ("exact", "scaled"):
            reader = ImageReader(transform=change, decode=decode, exif_orientation=True)
            data.seek(0)
            images.append(reader.read(data, np.random.default_rng(seed)))
        assert psnr(*images) > 30


class Reference:
    """Short versions of torchvision's `transforms/functional.py` for Pillow images."""

    @staticmethod
    def resize(image: Image.Image, size: int, max_size: int | None = None) -> Image.Image:
        width, height = image.size
        short, long = (width, height) if width <= height else (height, width)
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
        new = (new_short, new_long) if width <= height else (new_long, new_short)
        return image if new == image.size else image.resize(new, Image.Resampling.BILINEAR)

    @staticmethod
    def center_crop(image: Image.Image, height: int, width: int) -> Image.Image:
        if width > image.width or height > image.height:
            x, y = max(0, width - image.width), max(0, height - image.height)
            image = ImageOps.expand(image, (x // 2, y // 2, (x + 1) // 2, (y + 1) // 2))
        top = round((image.height - height) / 2.0)
        left = round((image.width - width) / 2.0)
        return image.crop((left, top, left + width, top + height))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [(37, 50), (50, 37), (41, 41), (1, 30), (300, 7)])
def test_resize_and_center_crop_are_torchvisions(size: tuple[int, int]) -> None:
    image = noise("RGB", *size)
    rng = np.random.default_rng()
    for edge in (1, 20, 37, 64):
        for longest in (None, 65, 200):
            got = augment.Resize(edge, max_size=longest)(image, rng=rng)
            if min(got.size) == 0:
                continue
            wanted = Reference.resize(image, edge, longest)
            np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))
        for height, width in ((20, 20), (33, 44), (64, 2)):
            got = augment.CenterCrop((height, width))(image, rng=rng)
            wanted = Reference.center_crop(image, height, width)
            np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))
            both = augment.Compose([augment.Resize(edge), augment.CenterCrop((height, width))])
            wanted = Reference.center_crop(Reference.resize(image, edge), height, width)
            np.testing.assert_array_equal(np.asarray(both(image, rng=rng)), np.asarray(wanted))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_letterbox_is_pillows_pad(mode: str) -> None:
    rng = np.random.default_rng()
    for size in ((50, 20), (20, 50), (33, 33), (200, 3)):
        image = noise(mode, *size)
        got = augment.Letterbox((40, 48), fill=114)(image, rng=rng)
        fill: Any = 114 if mode == "L" else (114,) * len(mode)
        wanted = ImageOps.pad(image, (48, 40), Image.Resampling.BILINEAR, fill)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


def encoded(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


RECIPES: list[Any] = [
    augment.Compose([augment.RandomResizedCrop((20, 24)), augment.RandomHorizontalFlip()]),
    augment.Compose([augment.Resize(30), augment.CenterCrop(28)]),
    augment.Compose([augment.Resize(30), augment.RandomCrop((20, 24), padding=3, fill=9)]),
    augment.Compose([augment.RandomVerticalFlip(), augment.RandomResizedCrop(20, scale=(0.5, 1))]),
    augment.Compose([augment.RandomCrop(30), augment.Resize((16, 20), "lanczos")]),
    augment.Letterbox((40, 48)),
]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("change", RECIPES, ids=repr)
@pytest.mark.parametrize(
    ("stored", "mode", "kind"),
    [
        ("RGB", "RGB", "JPEG"),
        ("L", "L", "JPEG"),
        ("L", "RGB", "JPEG"),
        ("CMYK", "RGB", "JPEG"),
        ("CMYK", "CMYK", "JPEG"),
        ("RGBA", "RGBA", "PNG"),
        ("RGBA", "RGB", "WEBP"),
        ("I;16", "I;16", "PNG"),
        ("I;16", "F", "PNG"),
        ("1", "L", "TIFF"),
    ],
)
def test_a_reader_has_the_pixels_of_the_transform_of_the_whole_image(
    change: Any, stored: str, mode: str, kind: str
) -> None:
    data = encoded(noise(stored, 53, 61), kind)
    reader = ImageReader(mode=mode, transform=change)
    whole = ImageReader(mode=mode).read(io.BytesIO(data))
    for layout in layouts_of(reader):
        bound = layout.bound(reader.dtype, reader.channels)
        for seed in range(5):
            wanted_image = change(whole, rng=np.random.default_rng(seed))
            got_image = reader.read(io.BytesIO(data), np.random.default_rng(seed))
            np.testing.assert_array_equal(np.asarray(got_image), np.asarray(wanted_image))
            assert reader.output_size is not None
            got = np.empty(bound.shape(*reader.output_size), bound.dtype)
            wanted = np.empty_like(got)
            bound.write(wanted_image, wanted)
            reader.read_into(io.BytesIO(data), bound, got, np.random.default_rng(seed))
            np.testing.assert_array_equal(got, wanted)


def layouts_of(reader: ImageReader) -> list[PixelLayout]:
    layouts = [PixelLayout(), PixelLayout(channels_first=True)]
    if reader.dtype == np.uint8:
        layouts.append(PixelLayout(mean=0.4, std=0.3, channels_first=True))
        layouts.append(PixelLayout(np.float16))
    return layouts


def test_a_reader_needs_the_generator_of_a_random_transform() -> None:
    data = encoded(noise("RGB", 40, 40), "PNG")
    with pytest.raises(ValueError, match="needs `rng`"):
        ImageReader(transform=augment.RandomCrop(8)).read(io.BytesIO(data))
    assert ImageReader(transform=augment.CenterCrop(8)).read(io.BytesIO(data)).size == (8, 8)


@pytest.mark.parametrize(
    ("transform", "size", "wanted"),
    [
        (augment.RandomResizedCrop((7, 9)), None, (7, 9)),
        (augment.Compose([augment.Resize(30), augment.RandomCrop(8)]), None, (8, 8)),
        (augment.Compose([augment.CenterCrop((8, 6)), augment.Resize(3)]), None, (4, 3)),
        (augment.Resize(30), None, None),
        (augment.RandomHorizontalFlip(), None, None),
        (augment.RandomHorizontalFlip(), (5, 6), (5, 6)),
        (augment.ColorJitter(0.1), (5, 6), (5, 6)),
        (augment.Resize(10), (5, 6), (10, 12)),
        (augment.Letterbox(5), None, (5, 5)),
        (lambda image, rng: image, (5, 6), (5, 6)),
    ],
)
def test_the_size_is_that_of_the_last_transform_that_fixes_one(
    transform: Any, size: Any, wanted: npt.NDArray[Any]
) -> None:
    assert ImageReader(size, transform=transform).output_size == wanted


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: augment.Resize(0), ValueError, "size must be 1 or more, not 0"),
        (lambda: augment.Resize((8, 8), max_size=9), ValueError, "size to be one number"),
        (lambda: augment.Resize(8, max_size=8), ValueError, "above size=8, not 8"),
        (lambda: augment.Resize(8, "cubic"), ValueError, "'cubic'"),
        (lambda: augment.CenterCrop((1, 0)), ValueError, "1 or more pixels"),
        (lambda: augment.Letterbox(8, fill=256), ValueError, "from 0 to 255, .*not 256"),
        (lambda: ImageReader(transform=3), TypeError, "must be functions, not 3"),  # type: ignore[arg-type]
    ],
)
def test_wrong_settings(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_function_that_returns_no_image_is_named() -> None:
    def forgets(image: Image.Image, rng: np.random.Generator) -> None:
        image.rotate(3)

    with pytest.raises(TypeError, match=r"forgets.* returned None .*, but must return an image"):
        augment.Compose([forgets])(noise("RGB", 8, 8), rng=np.random.default_rng())
