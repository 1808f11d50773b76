"""Decoding of image files: scale, mode, orientation, background, layout and hostile files."""

from __future__ import annotations

import contextlib
import io
import os
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps
from PIL.Image import Resampling

import raybatch as rb
from raybatch.errors import ImageReadError, SampleReadError
from raybatch.image.decoding import Encoded
from raybatch.image.pixels import PixelLayout
from raybatch.image.reader import FORMATS, ImageReader
from raybatch.image.view import View


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def read(data: bytes, *arguments: Any, **settings: Any) -> Any:
    return ImageReader(*arguments, **settings).read(io.BytesIO(data))


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an image whose spectrum is about that of a photograph.

    It has shapes of all sizes with edges, and a little noise.
    """
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    edge = 4
    while edge < max(width, height):
        coarse = rng.integers(0, 256, (edge * height // width + 1, edge, 3), dtype=np.uint8)
        filters = (Resampling.BICUBIC, Resampling.NEAREST)
        layer = Image.fromarray(coarse).resize((width, height), filters[rng.integers(2)])
        picture += (np.asarray(layer) - 127.5) * 2.0 / np.sqrt(edge)
        edge *= 2
    picture += rng.normal(127.5, 3, picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def psnr(one: Any, other: Any) -> float:
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


class TestScaled:
    @pytest.fixture
    def jpegs(self) -> list[bytes]:
        sizes = [(500, 375), (375, 500), (401, 333), (640, 200)]
        return [
            encoded(photograph(*size, seed), "JPEG", quality=90) for seed, size in enumerate(sizes)
        ]

    @pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
    @pytest.mark.parametrize(("margin", "least"), [(1.0, 20), (1.5, 24), (2.0, 28), (4.0, 34)])
    def test_it_is_near_the_exact_image_and_the_nearer_the_margin(
        self, jpegs: list[bytes], fit: str, margin: float, least: float
    ) -> None:
        for data in jpegs:
            exact = read(data, (64, 64), fit=fit)
            scaled = read(data, (64, 64), fit=fit, decode="scaled", scale_margin=margin)
            assert scaled.size == exact.size == (64, 64)
            assert psnr(scaled, exact) > least

    @pytest.mark.parametrize("stored", [(1300, 600), (600, 1300)])
    @pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
    def test_the_decoder_shrinks_no_further_than_the_margin(
        self, fit: str, stored: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []
        original = Encoded.pixels

        def pixels(encoded: Encoded, view: View) -> Any:
            image, seen_view = original(encoded, view)
            seen.append(image.size)
            return image, seen_view

        monkeypatch.setattr(Encoded, "pixels", pixels)
        data = encoded(Image.new("RGB", stored), "JPEG")
        for margin, factor in {"stretch": {2: 4, 1: 8}, "crop": {2: 4, 1: 8}, "pad": {2: 8, 1: 8}}[
            fit
        ].items():
            seen.clear()
            read(data, (70, 70), fit=fit, decode="scaled", scale_margin=margin)
            (decoded,) = seen
            assert decoded == (-(-stored[0] // factor), -(-stored[1] // factor))
        seen.clear()
        read(data, (301, 301), decode="scaled", scale_margin=2)
        assert seen == [stored]

    def test_with_a_size_above_the_stored_one_it_is_the_exact_image(self) -> None:
        data = encoded(photograph(40, 30), "JPEG")
        assert read(data, (64, 64), decode="scaled") == read(data, (64, 64))

    def test_other_formats_are_reduced(self) -> None:
        data = encoded(photograph(800, 600), "PNG")
        exact, scaled = read(data, (64, 64)), read(data, (64, 64), decode="scaled")
        assert exact != scaled
        assert psnr(exact, scaled) > 28

    def test_what_the_decoder_has_shrunk_is_resampled_at_once(self) -> None:
        # A JPEG decoder divides the sides by at most 8. Here, they are then up to 5 times too long.
        data = encoded(photograph(40, 30).resize((2560, 1920)), "JPEG")
        with Image.open(io.BytesIO(data)) as shrunk:
            shrunk.draft(None, (128, 128))
            assert shrunk.size == (320, 240)
            wanted = shrunk.resize((64, 64), Resampling.BILINEAR)
        assert read(data, (64, 64), decode="scaled") == wanted

    def test_without_a_size_nothing_is_shrunk(self) -> None:
        data = encoded(photograph(80, 60), "JPEG")
        assert read(data, decode="scaled") == read(data)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_turned_image_is_shrunk_as_one_that_lies_so(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        data = encoded(photograph(640, 200), "JPEG", quality=95, exif=exif)
        settings = {"exif_orientation": True, "fit": "crop"}
        exact = read(data, (96, 48), **settings)
        assert psnr(read(data, (96, 48), decode="scaled", **settings), exact) > 28


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "F", None])
def test_the_exact_fit_is_that_of_pillow(fit: str, mode: str | None) -> None:
    fits = {"stretch": Image.Image.resize, "crop": ImageOps.fit, "pad": ImageOps.pad}
    rng = np.random.default_rng(1)
    for width, height, *size in rng.integers(9, 60, (60, 4)).tolist():
        image = photograph(width, height)
        data = encoded(image, "PNG")
        wanted = fits[fit](image.convert(mode or "RGB"), (size[1], size[0]), Resampling.BICUBIC)  # type: ignore[operator]
        got = read(data, tuple(size), mode=mode, fit=fit, resample="bicubic")
        assert got == wanted, (width, height, size)


class TestModes:
    @pytest.mark.parametrize("stored", Image.MODES)
    @pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16", "F"])
    def test_every_mode_ends_as_the_one_that_is_asked_for(self, stored: str, mode: str) -> None:
        from raybatch.image.decoding import converted

        image = Image.new(stored, (3, 2))
        out = converted(image, mode)
        assert (out.mode, out.size) == (mode, (3, 2))

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_16_bit_images_keep_their_values(self, format: str) -> None:  # noqa: A002
        depths = np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)
        data = encoded(Image.fromarray(depths), format)
        np.testing.assert_array_equal(np.asarray(read(data, mode="I;16")), depths)
        np.testing.assert_array_equal(np.asarray(read(data, mode="F")), depths)
        half = np.asarray(read(data, (3, 5), mode="I;16", resample="box"))
        np.testing.assert_array_equal(half, depths.reshape(3, 2, 5, 2).mean((1, 3)))

    def test_cmyk_and_palette_are_as_pillow_converts_them(self) -> None:
        image = photograph(40, 30)
        for data in (
            encoded(image.convert("CMYK"), "JPEG"),
            encoded(image.convert("P"), "PNG"),
            encoded(image.convert("P"), "GIF"),
        ):
            with Image.open(io.BytesIO(data)) as opened:
                assert read(data, mode="RGB") == opened.convert("RGB")

    @pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_an_animation_gives_its_first_frame(self, format: str) -> None:  # noqa: A002
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        lossless = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
        assert read(data).getpixel((3, 3)) == (255, 0, 0)

    @pytest.mark.parametrize("mode", ["RGB", "L", "F"])
    def test_a_transparent_image_is_laid_on_the_background(self, mode: str) -> None:
        rgba = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
        rgba.putpixel((0, 0), (10, 10, 10, 255))
        rgba.putpixel((1, 0), (0, 0, 0, 51))
        palette = Image.new("P", (4, 4), 1)
        palette.putpalette([10, 10, 10, 200, 0, 0])
        palette.putpixel((0, 0), 0)
        for data in (encoded(rgba, "PNG"), encoded(palette, "PNG", transparency=1)):
            got = read(data, mode=mode, background=(255, 255, 255)).convert("RGB")
            assert got.getpixel((3, 3)) == (255, 255, 255)
            assert got.getpixel((0, 0)) == (10, 10, 10)
        assert read(encoded(rgba, "PNG"), background="white").getpixel((1, 0)) == (204, 204, 204)
        assert read(encoded(rgba, "PNG")).getpixel((3, 3)) == (200, 0, 0)


@pytest.mark.parametrize("orientation", [*range(9), 99])
def test_an_orientation_is_applied_when_asked_for(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = photograph(12, 8)
    data = encoded(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        turned = ImageOps.exif_transpose(opened)
    np.testing.assert_array_equal(read(data, exif_orientation=True), turned)
    np.testing.assert_array_equal(read(data), image)


class TestLayout:
    @pytest.fixture
    def images(self, photos: list[str]) -> rb.ImageFileAccessor:
        return rb.ImageFileAccessor(photos, (6, 5))

    def accessor(self, photos: list[str], mode: str = "RGB", **layout: Any) -> Any:
        return rb.ImageFileAccessor(photos, (6, 5), mode=mode, layout=PixelLayout(**layout))

    def test_channels_first(self, photos: list[str], images: Any) -> None:
        rows = np.array([3, 1])
        got = self.accessor(photos, channels_first=True)[rows]
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, images[rows].transpose(0, 3, 1, 2))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
    def test_floats_span_0_to_1(self, photos: list[str], images: Any, dtype: Any) -> None:
        rows = np.array([3, 1])
        got = self.accessor(photos, dtype=dtype)[rows]
        assert got.dtype == dtype
        working = np.promote_types(dtype, np.float32)
        wanted = (images[rows].astype(working) / working.type(255)).astype(dtype)
        np.testing.assert_array_equal(got, wanted)

    @pytest.mark.parametrize("channels_first", [False, True])
    def test_normalised_as_by_torchvision(
        self, photos: list[str], images: Any, channels_first: bool
    ) -> None:
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        accessor = self.accessor(photos, mean=mean, std=std, channels_first=channels_first)
        scaled = images[0].astype(np.float32) / np.float32(255)
        wanted = (scaled - np.array(mean, np.float32)) / np.array(std, np.float32)
        got = accessor[0].transpose(1, 2, 0) if channels_first else accessor[0]
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, wanted)

    def test_one_channel(self, photos: list[str]) -> None:
        plain = self.accessor(photos, "L")[0]
        got = self.accessor(photos, "L", mean=0.5, std=0.25, channels_first=True)[0]
        wanted = (plain.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
        np.testing.assert_array_equal(got, wanted)

    def test_wider_integers(self, photos: list[str], images: Any) -> None:
        got = self.accessor(photos, dtype=np.int32)[0]
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, images[0])

    @pytest.mark.parametrize(
        ("layout", "message"),
        [
            ({"dtype": np.int8}, "do not fit"),
            ({"dtype": "U3"}, "an integer or a float"),
            ({"mean": 0.5}, "together"),
            ({"mean": 0.5, "std": 0}, "above 0"),
            ({"mean": (1, 2), "std": (1, 2)}, "3 channels"),
            ({"mean": 0.5, "std": 1, "dtype": np.uint8}, "must be a float"),
            ({"mean": "x", "std": 1}, "mean must be"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, photos: list[str], layout: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            self.accessor(photos, **layout)


class TestHostileFiles:
    def error_of(self, path: Path, **settings: Any) -> SampleReadError:
        accessor = rb.ImageFileAccessor([path], (8, 8), **settings)
        with pytest.raises(SampleReadError) as caught:
            accessor[np.array([0])]
        assert str(path) in str(caught.value)
        assert caught.value.index == 0
        assert caught.value.__cause__ is not None
        return caught.value

    def test_what_is_no_regular_file_is_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.jpg")
        (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
        (tmp_path / "folder.jpg").mkdir()
        (tmp_path / "zero.jpg").symlink_to("/dev/zero")
        for name in ("pipe", "folder", "zero"):
            assert "not a regular file" in self.error_of(tmp_path / f"{name}.jpg").reason
        for name in ("dangling", "missing"):
            assert "FileNotFoundError" in self.error_of(tmp_path / f"{name}.jpg").reason

    @pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
    def test_what_is_no_image_is_an_error(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        error = self.error_of(path)
        assert error.format is None
        assert "UnidentifiedImageError" in error.reason

    def test_only_the_formats_in_the_list_are_opened(self, tmp_path: Path) -> None:
        image = photograph(20, 20)
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(image, "ICNS"))
        self.error_of(path)
        assert rb.ImageFileAccessor([path], (8, 8), formats=("icns",))[0].shape == (8, 8, 3)
        with pytest.raises(ValueError, match="NONSENSE"):
            ImageReader(formats=("JPEG", "nonsense"))
        with pytest.raises(TypeError, match="not a single name"):
            ImageReader(formats="JPEG")  # type: ignore[arg-type]

    def test_a_wrong_extension_does_not_matter(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(photograph(20, 20), "PNG"))
        assert rb.ImageFileAccessor([path], (8, 8))[0].shape == (8, 8, 3)

    def test_too_many_pixels_are_an_error_that_names_the_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(encoded(Image.new("L", (400, 300)), "PNG"))
        error = self.error_of(path, max_pixels=100_000)
        assert error.format == "PNG"
        assert "120000 pixels are more than max_pixels=100000" in error.reason

    def test_a_header_alone_that_claims_to_be_huge_is_refused(self, tmp_path: Path) -> None:
        def chunk(name: bytes, content: bytes) -> bytes:
            checked = name + content
            return (
                len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")
            )

        header = (100_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
        path = tmp_path / "a.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
        assert "10000000000 pixels are more than max_pixels" in self.error_of(path).reason

    @pytest.mark.parametrize("format", FORMATS)
    def test_a_truncated_file_is_an_error_that_names_the_format(
        self,
        format: str,  # noqa: A002
        tmp_path: Path,
    ) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(encoded(photograph(200, 150), format)[:-600])
        error = self.error_of(path)
        # Pillow reads the end of these files when it opens them, so the error may lack the format.
        if format not in (
            "TIFF",
            "WEBP",
            "AVIF",
        ):
            assert error.format == format

    @pytest.mark.parametrize("format", FORMATS)
    def test_mutated_files_give_pixels_or_an_error(self, format: str) -> None:  # noqa: A002
        rng = np.random.default_rng(FORMATS.index(format))
        reader = ImageReader((16, 16), decode="scaled", max_pixels=1_000_000)
        whole = encoded(photograph(60, 40), format)
        for _ in range(150):
            data = mutated(whole, rng)
            start = time.thread_time()
            with contextlib.suppress(ImageReadError):
                assert reader.read(io.BytesIO(data)).size == (16, 16)
            assert time.thread_time() - start < 2


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return `data` with some bytes changed. Sometimes it is also cut, or a part is repeated."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        # Half of the changes hit the header, where they do the most damage.
        end = len(out) if rng.random() < 0.5 else min(64, len(out))
        out[int(rng.integers(end))] = int(rng.integers(256))
    if rng.random() < 0.2:
        out = out[: int(rng.integers(1, len(out)))]
    if rng.random() < 0.1:
        start = int(rng.integers(len(out)))
        out += out[start : start + 200]
    return bytes(out)
