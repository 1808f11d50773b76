"""Reads an image file into a Pillow image or an array, at a given mode and size."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import IO, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageMode

from raybatch.checks import height_and_width, one_of
from raybatch.errors import ReturnError, TransformError
from raybatch.foreign_randomness import ForeignRandomness
from raybatch.image.augment.mask_transform import for_masks
from raybatch.image.augment.masks import IGNORED, check_fill
from raybatch.image.augment.per_size import PerSize
from raybatch.image.augment.resize import FITS
from raybatch.image.augment.transform import (
    Change,
    Compose,
    Paint,
    changed,
    check_changes,
    flat,
    has_function,
    is_random,
    made_by,
    output_size,
    steps_in_turn,
)
from raybatch.image.decoding import Colour, Decoding, EncodedJpeg, opened, read_error
from raybatch.image.motion import Motion
from raybatch.image.pixels import BoundLayout
from raybatch.image.resampling import filter_name
from raybatch.image.view import Size
from raybatch.image.viewed import Viewed
from raybatch.stages import stage
from raybatch.structure import function_name

# Is called with the (width, height) of an image before its transform.
Note: TypeAlias = Callable[[Size], None]

DECODES = ("exact", "scaled")
TRUNCATED = ("error", "fill")

# The usual image formats. Pillow decodes all of these itself. For some others, such as EPS, it
# would start a program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")


class Begun(NamedTuple):
    """A JPEG whose header has been read, and whose view is known; `nbytes` is its size in bytes."""

    viewed: Viewed
    nbytes: int
    layout: BoundLayout
    out: npt.NDArray[Any]

    def finish(self) -> None:
        """Decode the image into `out`. Errors are those of `ImageReader.read_into`."""
        try:
            with stage("decode"):
                self.viewed.write(self.layout, self.out)
        except Exception as error:
            raise read_error("JPEG", error) from error


@dataclass(frozen=True)
class ImageReader:
    """How to read an image: `read(file)` gives a Pillow image of `mode`, scaled, then transformed.

    Args:
        size: (height, width), an integer for a square, or None for the stored size.
        mode: A Pillow mode, or None for the stored mode. 16-bit images keep their values in "I;16"
            and "F".
        fit: How an image with another aspect ratio gets `size`. "stretch" changes the aspect ratio,
            "crop" cuts equal parts off two sides, and "pad" adds black bars.
        resample: A filter of Pillow, or its name in lower case.
        decode: "exact" decodes at full size, so that the pixels equal those of
            `Image.open(path).convert(mode).resize((width, height), resample)`. "scaled" shrinks the
            image first: a JPEG by 2, 4 or 8 in its decoder, other images of mode RGB or L by whole
            factors. That is faster, above all for large files.
        scale_margin: With "scaled", the part that is taken stays at least this many times larger
            than its result.
        exif_orientation: Whether to turn an image upright as its EXIF data says.
        background: The colour behind transparent pixels, a name or (red, green, blue). With None,
            Pillow's conversion decides.
        formats: The formats to open, by Pillow's names.
        max_pixels: The most pixels that an image may have. It replaces `Image.MAX_IMAGE_PIXELS`.
        truncated: "error" refuses a file whose end is missing; "fill" fills the rest with grey or
            black. With None, Pillow's `ImageFile.LOAD_TRUNCATED_IMAGES` decides.
        transform: An augmentation of `raybatch.image.augment`, or any function that is called as
            `transform(image, rng=rng)` with a Pillow image and returns one. Crops, scalings and
            flips at its start are drawn before the image is decoded, so only the pixels that they
            need are decoded, in one pass. With `decode="exact"` the pixels equal those of the same
            transform applied to the whole image.
        mask: Whether the pixels are classes: the indices of a palette image, or the values of a
            single channel. Classes never change: scaling takes the nearest pixel, and changes of
            colour in `transform` are left out. The default mode is then "L"; "I;16" and "I" hold
            more classes.
        mask_fill: The class of pixels outside the image.
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
    max_pixels: int = 89_478_485  # Pillow's own limit
    truncated: str | None = None
    transform: Change | None = None
    mask: bool = False
    mask_fill: int = IGNORED

    # Whether the program gave `mode`; accessors set this if it did.
    mode_was_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.mask:
            object.__setattr__(self, "mode", "L" if self.mode == "RGB" else self.mode)
            object.__setattr__(self, "resample", "nearest")
            if self.background is not None:
                raise ValueError(
                    "a mask cannot have a background: give mask or background, not both"
                )
        if self.size is not None:
            object.__setattr__(self, "size", height_and_width("size", self.size, or_edge=True))
        if isinstance(self.transform, PerSize):
            if self.size is None:
                raise ValueError("transform is a PerSize, which needs a size: give size=")
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
        if self.transform is not None:
            check_changes([self.transform])
        if self.truncated is not None:
            one_of("truncated", self.truncated, TRUNCATED)
        if not self.max_pixels > 0:
            raise ValueError(f"max_pixels must be above 0, not {self.max_pixels}")

    def read(
        self, file: IO[bytes], rng: np.random.Generator | None = None, note: Note | None = None
    ) -> Image.Image:
        """Return the image in `file`, fully loaded. Raises ImageReadError if it cannot be read.

        `rng` is the generator for the transform; a random transform needs one. `note` is called
        with the (width, height) of the image.
        """
        with self._viewed(file, rng, note, as_array=False) as viewed:
            return viewed.image()

    def read_into(
        self,
        file: IO[bytes],
        layout: BoundLayout,
        out: npt.NDArray[Any],
        rng: np.random.Generator | None = None,
    ) -> None:
        """Write the pixels of `read(file, rng)` into `out`, an array of `layout.shape`.

        Raises ImageReadError as `read` does, and for an image of another size. If possible, this
        makes no Pillow image of the final size and no copy of the pixels.
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
        note: Note | None = None,
    ) -> Begun | None:
        """Begin `read_into`. Return the JPEG that is left to decode, or None if all is done.

        The JPEG can still be decoded after `file` is closed. See `read` for `note`.
        """
        with self._viewed(file, rng, note, as_array=True) as viewed:
            if isinstance(viewed.source, EncodedJpeg):
                return Begun(viewed, viewed.source.nbytes, layout, out)
            viewed.write(layout, out)
        return None

    @contextmanager
    def _viewed(
        self,
        file: IO[bytes],
        rng: np.random.Generator | None,
        note: Note | None,
        *,
        as_array: bool,
    ) -> Iterator[Viewed]:
        """Yield the view of the image in `file`; errors in the block become ImageReadErrors."""
        if rng is None and self.is_random:
            raise ValueError("a random transform needs `rng`, a NumPy generator")
        # The program's own functions may look at the metadata of a Pillow image, which an array
        # lacks.
        as_array = as_array and not any(map(has_function, self._changes))
        with stage("decode"), opened(file, self._decoding, as_array=as_array) as source:
            if note is not None:
                note(source.size)
            with self._foreign.seeded_once(rng) as begin:
                viewed = changed(source, self._changes, rng, partial(_made_by, begin))
            yield viewed

    @cached_property
    def is_random(self) -> bool:
        """Whether the images depend on random numbers."""
        return self.transform is not None and is_random(self.transform)

    @cached_property
    def output_size(self) -> tuple[int, int] | None:
        """The height and width of all images that are read; None if they differ."""
        return output_size(self._changes, None)

    def before_random(self) -> tuple[ImageReader, Change | None]:
        """Return a reader that stops before the first random part of the transform, and the rest.

        The rest is None if no part is random.
        """
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
        """The shape of an image after (H, W): (3,) for RGB, () for L.

        ValueError if `mode` is None.
        """
        bands = len(ImageMode.getmode(_known(self.mode)).bands)
        return () if bands == 1 else (bands,)

    @cached_property
    def _changes(self) -> tuple[Change, ...]:
        """All changes of an image: the scaling to `size`, then the parts of `transform`."""
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
            # A decoder shrinks an image by averaging, and the average of two classes is no class.
            self.scale_margin if self.decode == "scaled" and not self.mask else None,
            self.formats,
            self.max_pixels,
            self.truncated,
            self.mask,
        )


def stored_size(reader: ImageReader, file: IO[bytes]) -> tuple[int, int]:
    """Return the height and width of the image in `file`, from its header alone.

    Errors are those of `read`.
    """
    with opened(file, reader._decoding, as_array=False) as source:
        width, height = source.size
    return height, width


def motion(reader: ImageReader, size: Size, rng: np.random.Generator | None) -> Motion:
    """Return how an image of the stored `size`, (width, height), moves if it is read with `rng`.

    A function of the program is taken to move nothing.
    """
    steps = steps_in_turn(reader._changes, *size, rng)
    return Motion.of(size, [step for step in steps if not callable(step)])


def _as_read(reader: ImageReader, change: Change) -> Change:
    return for_masks(change, reader.mask_fill) if reader.mask else change


def _made_by(begin: Callable[[], None], change: Change, paint: Paint, image: Any) -> Any:
    """Call `made_by`. Its errors become TransformErrors, since the file is not at fault."""
    try:
        return made_by(change, paint, image, begin)
    except ReturnError as error:
        raise TransformError(str(error)) from error
    except Exception as error:
        name = function_name(change)
        raise TransformError(f"{name} raised {type(error).__name__}: {error}") from error


def _known(mode: str | None) -> str:
    if mode is None:
        raise ValueError("the mode of the pixels is only known if mode= is given")
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
        raise TypeError(f"formats must be a sequence of names, not a single name {formats!r}")
    names = tuple(name.upper() for name in formats)
    Image.preinit()
    if not all(name in Image.OPEN for name in names):
        Image.init()
    # A Pillow that was built without a decoder still opens the other formats.
    known = tuple(name for name in names if name in Image.OPEN or name in FORMATS)
    if unknown := set(names) - set(known):
        raise ValueError(f"Pillow has no format {sorted(unknown)}, only {sorted(Image.OPEN)}")
    if not names:
        raise ValueError("formats must hold at least one name")
    return tuple(name for name in names if name in Image.OPEN) or names
