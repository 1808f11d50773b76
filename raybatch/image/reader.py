"""An image file → a Pillow image of the mode and size that were asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageMode

from raybatch.checks import height_and_width, one_of
from raybatch.errors import TransformError
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.image.augment.mask_transform import for_masks
from raybatch.image.augment.masks import IGNORED, check_fill
from raybatch.image.augment.per_size import PerSize
from raybatch.image.augment.resize import FITS
from raybatch.image.augment.transform import (
    Change,
    Compose,
    Paint,
    Transform,
    changed,
    flat,
    is_random,
    made_by,
    output_size,
)
from raybatch.image.decoding import Colour, Decoding, EncodedJpeg, opened, read_error
from raybatch.image.pixels import BoundLayout
from raybatch.image.resampling import filter_name
from raybatch.image.viewed import Viewed
from raybatch.stages import stage

DECODES = ("exact", "scaled")
TRUNCATED = ("error", "fill")

# Those that images come in. None of them starts a program to be decoded, as EPS does.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")


class Begun(NamedTuple):
    """A JPEG of `nbytes` bytes whose header has been read, and of which it is known what is to be taken."""

    viewed: Viewed
    nbytes: int
    layout: BoundLayout
    out: npt.NDArray[Any]

    def finish(self) -> None:
        """Decode it; errors as of `ImageReader.read_into`."""
        try:
            with stage("decode"):
                self.viewed.write(self.layout, self.out)
        except Exception as error:
            raise read_error("JPEG", error) from error


@dataclass(frozen=True)
class ImageReader:
    """How to read an image: `read(file)` gives a Pillow image of `mode`, scaled to `size`, and changed by `transform`.

    `size` is (height, width), or None for the size that is stored. `mode` is a Pillow mode, or None for the
    mode that is stored; 16-bit images keep their values in "I;16" and "F". `fit` says what happens to an
    image of another shape: "stretch" changes its aspect ratio, "crop" cuts the overhang evenly off both
    sides, "pad" adds black. `resample` is one of Pillow's filters or its name in lower case.

    `decode="exact"` decodes at full size, so that the pixels are those of
    `Image.open(path).convert(mode).resize((width, height), resample)`. "scaled" lets the JPEG decoder shrink by
    2, 4 or 8, and other images be reduced by whole factors, as long as the part that is taken stays `scale_margin`
    times larger than what is made of it; then it resamples. That is faster, the more so the larger the file.

    `transform` is one of `raybatch.image.augment`, or any function that is called as `transform(image, rng=rng)` with a Pillow image
    and returns one. Of its crops, scalings and flips, those that come first are known before the image is decoded: only
    what they need is decoded, and all is one pass. With `decode="exact"` the pixels are those of the same transform
    of the whole image.

    With `mask` the pixels are classes: the numbers of a palette image, and the values of one that has a single channel. They stay what
    they are: a result has the nearest pixel, and the class `mask_fill` where it reaches beyond the image; of `transform`, what
    changes colours is left out. The mode is "L" then unless it is given; "I;16" and "I" have more classes.

    `exif_orientation` turns an image the way its EXIF data says. `background`, a colour name or (red, green,
    blue), is what shows through where an image is transparent; with None it is as Pillow converts it.
    `formats` are those that are opened, by Pillow's names; `max_pixels` is the most that an image may have, whatever
    `Image.MAX_IMAGE_PIXELS` says. `truncated` is what becomes of a file whose end is missing: with "error" it cannot be read,
    with "fill" the rest is grey or black; with None it is as Pillow's `ImageFile.LOAD_TRUNCATED_IMAGES` says.
    """

    size: tuple[int, int] | None = None
    mode: str | None = "RGB"
    fit: str = "stretch"
    resample: str | int = "bilinear"
    decode: str = "exact"
    scale_margin: float = 2.0
    exif_orientation: bool = False
    background: Colour | str | None = None
    formats: tuple[str, ...] = FORMATS
    max_pixels: int = 89_478_485  # that of Pillow
    truncated: str | None = None
    transform: Change | None = None
    mask: bool = False
    mask_fill: int = IGNORED

    def __post_init__(self) -> None:
        if self.mask:
            object.__setattr__(self, "mode", "L" if self.mode == "RGB" else self.mode)
            object.__setattr__(self, "resample", "nearest")
            if self.background is not None:
                raise ValueError("a mask is not laid on a background: give mask or background")
        if self.size is not None:
            object.__setattr__(self, "size", height_and_width("size", self.size))
        if isinstance(self.transform, PerSize):
            if self.size is None:
                raise ValueError("transform is a PerSize, and there is no size: give size=")
            object.__setattr__(self, "transform", self.transform.make(self.size))
            object.__setattr__(self, "size", None)
        if self.mode is not None and self.mode not in Image.MODES:
            raise ValueError(f"mode must be one of Pillow's modes {Image.MODES}, not {self.mode!r}")
        one_of("fit", self.fit, FITS)
        object.__setattr__(self, "resample", filter_name("resample", self.resample))
        one_of("decode", self.decode, DECODES)
        if not self.scale_margin >= 1:
            raise ValueError(f"scale_margin must be 1 or more, not {self.scale_margin}")
        if self.mask and self.mode is not None and self.channels:
            raise ValueError(
                f"the mode of a mask must have one channel, such as L, not {self.mode!r}"
            )
        if self.mask:
            check_fill(self.mask_fill, self.mode or "L")
        if self.background is not None:
            object.__setattr__(self, "background", _check_colour(self.background))
        object.__setattr__(self, "formats", _check_formats(self.formats))
        if self.transform is not None and not callable(self.transform):
            raise TypeError(f"transform must be a function, not {self.transform!r}")
        if self.truncated is not None:
            one_of("truncated", self.truncated, TRUNCATED)
        if not self.max_pixels > 0:
            raise ValueError(f"max_pixels must be above 0, not {self.max_pixels}")

    def read(self, file: IO[bytes], rng: np.random.Generator | None = None) -> Image.Image:
        """Return the image in `file`, fully loaded; ImageReadError with the cause if that cannot be done.

        `rng` is for the transform, which needs it if it is a random one.
        """
        with self._viewed(file, rng, as_array=False) as viewed:
            return viewed.image()

    def read_into(
        self,
        file: IO[bytes],
        layout: BoundLayout,
        out: npt.NDArray[Any],
        rng: np.random.Generator | None = None,
    ) -> None:
        """Write the pixels of `read(file, rng)` into `out`, an array of `layout.shape`; errors as there, and for another size.

        There may be no Pillow image of that size, nor any copy of the pixels.
        """
        begun = self.begin(file, layout, out, rng)
        if begun is not None:
            begun.finish()

    def begin(
        self,
        file: IO[bytes],
        layout: BoundLayout,
        out: npt.NDArray[Any],
        rng: np.random.Generator | None = None,
    ) -> Begun | None:
        """Begin what `read_into` does; return what finishes it without the file, or None if it is done."""
        with self._viewed(file, rng, as_array=True) as viewed:
            if isinstance(viewed.source, EncodedJpeg):
                return Begun(viewed, viewed.source.nbytes, layout, out)
            viewed.write(layout, out)
        return None

    def size_of(self, file: IO[bytes]) -> tuple[int, int]:
        """Return the height and width of the stored image, of which only the header is read; errors as of `read`."""
        with opened(file, self._decoding, as_array=False) as source:
            width, height = source.size
        return height, width

    @contextmanager
    def _viewed(
        self, file: IO[bytes], rng: np.random.Generator | None, *, as_array: bool
    ) -> Iterator[Viewed]:
        """Give what is to be taken of the image in `file`; an error inside is an ImageReadError."""
        if rng is None and self.is_random:
            raise ValueError("a random transform needs `rng`, a NumPy generator")
        # A Pillow image has its metadata, at which a function of the program's own may look.
        as_array = as_array and all(isinstance(change, Transform) for change in self._changes)
        with stage("decode"), opened(file, self._decoding, as_array=as_array) as source:
            with self._foreign.seeded_once(rng) as begin:
                viewed = changed(source, self._changes, rng, partial(_made_by, begin))
            yield viewed

    @cached_property
    def is_random(self) -> bool:
        """Whether what is read depends on random numbers."""
        return self.transform is not None and is_random(self.transform)

    @cached_property
    def output_size(self) -> tuple[int, int] | None:
        """The height and width of all images that are read; None if they differ."""
        return output_size(self._changes, None)

    def before_random(self) -> tuple[ImageReader, Change | None]:
        """Return the reader without what follows the first random part of its transform, and that; None if there is none."""
        parts = () if self.transform is None else flat(self.transform)
        first = next((number for number, part in enumerate(parts) if is_random(part)), len(parts))
        if first == len(parts):
            return self, None
        fixed = Compose(parts[:first]) if first else None
        return replace(self, transform=fixed), _as_read(self, Compose(parts[first:]))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the pixels in `mode`; ValueError if the mode is None."""
        return np.dtype(ImageMode.getmode(_known(self.mode)).typestr)

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """What follows (H, W) in the shape of an image: (3,) for RGB, () for L; ValueError if None."""
        bands = len(ImageMode.getmode(_known(self.mode)).bands)
        return () if bands == 1 else (bands,)

    @cached_property
    def _changes(self) -> tuple[Change, ...]:
        """All that happens to an image: the scaling to `size`, and the parts of `transform`."""
        parts = () if self.transform is None else flat(self.transform)
        if self.size is not None:
            parts = (FITS[self.fit](self.size, self.resample), *parts)
        return flat(_as_read(self, Compose(parts)))

    @cached_property
    def _foreign(self) -> ForeignRandomness:
        return ForeignRandomness(self.transform)

    @cached_property
    def _decoding(self) -> Decoding:
        return Decoding(
            self.mode,
            self.background,  # type: ignore[arg-type]
            self.exif_orientation,
            # What is shrunk by a decoder has the mean of some pixels, which is no class.
            self.scale_margin if self.decode == "scaled" and not self.mask else None,
            self.formats,
            self.max_pixels,
            self.truncated,
            self.mask,
        )


def _as_read(reader: ImageReader, change: Change) -> Change:
    return for_masks(change, reader.mask_fill) if reader.mask else change


def _made_by(begin: Callable[[], None], change: Change, paint: Paint, image: Any) -> Any:
    """Return what `made_by` does; TransformError for what it raises, which is no fault of the image's file."""
    try:
        return made_by(change, paint, image, begin)
    except Exception as error:
        # The repr of a function has its address, which is another in each process.
        name = getattr(change, "__qualname__", None) or repr(change)
        raise TransformError(f"{name} raised {type(error).__name__}: {error}") from error


def _known(mode: str | None) -> str:
    if mode is None:
        raise ValueError("the mode of the pixels is known only when a mode is given")
    return mode


def _check_colour(colour: Any) -> Colour:
    if isinstance(colour, str):
        return ImageColor.getrgb(colour)[:3]
    try:
        red, green, blue = (operator.index(value) for value in colour)
    except (TypeError, ValueError):
        raise TypeError(f"background must be a colour name or (r, g, b), not {colour!r}") from None
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"the values of background must be from 0 to 255, not {colour!r}")
    return red, green, blue


def _check_formats(formats: Any) -> tuple[str, ...]:
    if isinstance(formats, str):
        raise TypeError(f"formats must be a sequence of names, not the one name {formats!r}")
    names = tuple(name.upper() for name in formats)
    Image.preinit()
    if not all(name in Image.OPEN for name in names):
        Image.init()
    # A Pillow that was built without a decoder opens the others.
    known = tuple(name for name in names if name in Image.OPEN or name in FORMATS)
    if unknown := set(names) - set(known):
        raise ValueError(f"Pillow knows no format {sorted(unknown)}; it has {sorted(Image.OPEN)}")
    if not names:
        raise ValueError("formats must hold at least one name")
    return tuple(name for name in names if name in Image.OPEN) or names
