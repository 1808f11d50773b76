"""Encoded images as arrays that are loaded on demand, from files or any other byte store."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from raybatch.accessors.array_transform import ArrayTransform
from raybatch.accessors.fingerprints import pickle_digest
from raybatch.accessors.noted_sizes import noted_here
from raybatch.accessors.reading import (
    ByteStore,
    Opener,
    RngOf,
    map_runs,
    sample_positions,
    seeded_alone,
)
from raybatch.accessors.sample_sizes import Readers, SizedReaders
from raybatch.checks import counted
from raybatch.errors import ImageReadError, ReturnError, SampleReadError, TransformError
from raybatch.image.pixels import BoundLayout, PixelLayout, UnfinishedImages
from raybatch.image.reader import Begun, ImageReader
from raybatch.memory import empty_batch
from raybatch.stages import stage
from raybatch.structure import brief
from raybatch.warned import about

# Reads an image from its file, or begins to read it and returns a `Begun`; can take a `note`.
Read: TypeAlias = Callable[..., Any]
# Starts to read the files at positions; returns for each a function that waits for its file.
Openers: TypeAlias = Callable[[Sequence[int]], AbstractContextManager[list[Opener]]]

# Begun images of this many bytes fit into the cache of one processor core.
_MOST_HELD_BYTES = 1 << 20


class EncodedImages:
    """The images in `store`, decoded by `reader`; `openers` opens the images of a batch."""

    def __init__(self, reader: Readers, store: ByteStore, openers: Openers) -> None:
        self._sized = reader if isinstance(reader, SizedReaders) else None
        if self._sized is not None and len(self._sized) != len(store):
            raise ValueError(
                f"size has the sizes of {len(self._sized)} images, but there are {len(store)}"
            )
        self._reader = reader.of(0) if isinstance(reader, SizedReaders) else reader
        self._store = store
        self._openers = openers

    def __len__(self) -> int:
        return len(self._store)

    @property
    def is_random(self) -> bool:
        """Whether the images depend on random numbers."""
        return self._reader.is_random

    def name_of(self, position: int) -> str:
        """Return the place of the image at `position`, for messages, such as its path."""
        return self._store.name_of(position)

    def encoded(self, position: int) -> bytes:
        """Return the bytes of the stored image at `position`; OSError if they cannot be read."""
        with self._store.open(position) as file:
            return file.read()

    def reader_at(self, position: int) -> ImageReader:
        """Return the settings with which the image at `position` is read."""
        return self._reader if self._sized is None else self._sized.of(position)

    def signature(self, position: int) -> tuple[int, ...]:
        """Return a tuple that changes whenever the stored image does; see `LocalFiles.signature`.

        Return () if checking for changes is expensive, as for remote files. OSError if the file is
        missing.
        """
        return self._store.signature(position)

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that the images depend on, except the stored bytes.

        These are the settings, the paths and Pillow's version.
        """
        about = {"kind": type(self).__name__, "samples": len(self), **self._decoding()}
        return {**about, **self._store.fingerprint()}

    def _decoding(self) -> dict[str, Any]:
        reader = dataclasses.asdict(dataclasses.replace(self._reader, transform=None))
        del reader["transform"]
        about = {"reader": reader, "pillow": PIL.__version__}
        if self._sized is not None:
            about["sized"] = self._sized.fingerprint()
        if self._reader.transform is not None:
            about["transform"] = pickle_digest(self._reader.transform)
        return about

    def __repr__(self) -> str:
        # Only settings that differ from the defaults are shown.
        settings = (
            f"{each.name}={brief(value)}"
            for each in dataclasses.fields(self._reader)
            if (value := getattr(self._reader, each.name)) != each.default
        )
        sizes = [] if self._sized is None else [str(self._sized)]
        parts = [counted(len(self), "image"), *sizes, *settings]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _pillow_images(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> list[Image.Image]:
        rows = np.asarray(sample_positions(index, len(self))).tolist()
        rngs = _rngs(self, len(rows), rng_of)
        readers = map(self.reader_at, rows)
        reads = [partial(r.read, rng=rng) for r, rng in zip(readers, rngs, strict=True)]
        return self._read(rows, reads)

    def _read(self, positions: Sequence[int], reads: Sequence[Read]) -> list[Any]:
        """Return the results of `reads`, each called with the file of its image."""
        noted = noted_here()
        if noted is not None:
            reads = [
                partial(read, note=partial(noted.__setitem__, row))
                for row, read in enumerate(reads)
            ]
        with self._openers(positions) as openers:
            return map_runs(self._read_run, list(zip(openers, positions, reads, strict=True)))

    def _read_run(self, run: Sequence[tuple[Opener, int, Read]]) -> list[Any]:
        """Return the results for a run of images: all are begun before the first is finished.

        Code that has just run is still in the processor's cache, and runs again in a third of the
        time, whereas decoding an image evicts everything else. When the files of begun images reach
        `_MOST_HELD_BYTES`, these images are finished first.
        """
        position, held_bytes = run[0][1], 0
        begun: deque[tuple[int, Any]] = deque()
        results = []
        with about(lambda: self.name_of(position)):
            for number, (opener, position, read) in enumerate(run, start=1):
                one = self._begun(opener, read)
                begun.append((position, one))
                held_bytes += one.nbytes if isinstance(one, Begun) else 0
                del one  # the frames of a traceback must not hold its own error
                if number == len(run) or held_bytes >= _MOST_HELD_BYTES:
                    while begun:
                        position = begun[0][0]
                        results.append(self._finished(*begun.popleft()))
                    held_bytes = 0
        return results

    def _begun(self, opener: Opener, read: Read) -> Any:
        """Return the result of `read` for a file, or the error that it raises."""
        try:
            with stage("read"):
                opened = opener()
            with opened as file:
                return read(file)
        except Exception as error:
            return error

    def _finished(self, position: int, begun: Any) -> Any:
        """Return the finished image; SampleReadError if `begun` is an error."""
        try:
            if isinstance(begun, Exception):
                raise begun
            return begun.finish() if isinstance(begun, Begun) else begun
        except ImageReadError as error:
            reason, kind, cause = error.reason, error.format, error.__cause__
            is_broken = not isinstance(cause, TransformError)
        except Exception as error:
            reason, kind, cause = f"{type(error).__name__}: {error}", None, error
            is_broken = False
        finally:
            del begun
        name = self.name_of(position)
        try:
            raise SampleReadError(name, position, reason, kind, is_broken) from cause
        finally:
            del cause  # its traceback holds this frame


def _rngs(images: EncodedImages, count: int, rng_of: RngOf) -> list[np.random.Generator | None]:
    """Return the generators of the rows if the images are random; making one takes time."""
    return [rng_of(row) if images.is_random else None for row in range(count)]


class ImageArrays(EncodedImages):
    """Images as arrays with a `layout`: one image is `(H, W, C)`, a stack `(n, H, W, C)`."""

    def __init__(
        self, reader: Readers, store: ByteStore, openers: Openers, layout: PixelLayout | None
    ) -> None:
        super().__init__(reader, store, openers)
        reader = self._reader
        if reader.mode is None:
            raise TypeError("mode must be one of Pillow's modes, or the images would not stack")
        if reader.transform is not None and reader.output_size is None:
            raise ValueError(
                f"the images of transform={reader.transform!r} differ in size and do not stack: end"
                " it with a crop or a Resize((height, width)), give a size, or use a"
                " NonUniformImageFileAccessor"
            )
        layout = PixelLayout() if layout is None else layout
        self._layout = layout.bound(reader.dtype, reader.channels)
        self._left_to_do: BoundLayout | None = None

    def _decoding(self) -> dict[str, Any]:
        return {**super()._decoding(), "layout": dataclasses.asdict(self._layout.layout)}

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            image: npt.NDArray[Any] = self[np.array([positions])][0]
            return image
        return self.read_seeded(positions, seeded_alone(positions))

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> npt.NDArray[Any]:
        """Return the stack of the images at `index`.

        `rng_of(row)` returns the generator of a row, as `SeededAccessor` says.
        """
        stack = self._stack(index, rng_of)
        return stack if self._left_to_do is None else UnfinishedImages(stack, self._left_to_do)  # type: ignore[return-value]

    def unfinished(self) -> ImageArrays:
        """Return an accessor that gives these images as `UnfinishedImages`, or this accessor.

        It is this accessor if unfinished images would take no fewer bytes, or if a subclass reads
        the images in its own way.
        """
        layout = self._layout.in_bytes()
        kind = type(self)
        # A user's subclass can override the reading methods.
        is_plain = (
            kind.read_seeded is ImageArrays.read_seeded
            and kind.__getitem__ is ImageArrays.__getitem__
        )
        if layout is None or not is_plain:
            return self
        changed = copy.copy(self)
        changed._layout, changed._left_to_do = layout, self._layout
        return changed

    def _stack(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> npt.NDArray[Any]:
        rows = np.asarray(sample_positions(index, len(self))).tolist()
        reader = self._reader
        if self._sized is not None:
            reader = self._sized.of_all(rows, self.name_of)
        if reader.output_size is None:
            return self._stack_as_stored(rows)
        stack = self._empty(len(rows), *reader.output_size)
        read = partial(reader.begin, layout=self._layout)
        rngs = _rngs(self, len(rows), rng_of)
        self._read(
            rows, [partial(read, out=row, rng=rng) for row, rng in zip(stack, rngs, strict=True)]
        )
        return stack

    def before_random(self) -> tuple[Any, ArrayTransform | None]:
        """Return an accessor that stops before the first random step, and a function for the rest.

        The function is None if no step is random. ValueError if the images before the random steps
        differ in size.
        """
        if self._sized is not None:
            raise ValueError(
                f"the images have {self._sized}, but only samples of one size can be cached: give"
                " size=(height, width)"
            )
        reader, rest = self._reader.before_random()
        if rest is None:
            return self, None
        if reader.output_size is None:
            raise ValueError(
                f"the images before the random part of transform={self._reader.transform!r} differ"
                " in size: give a size, or begin it with a Resize((height, width))"
            )
        before = copy.copy(self)
        before._reader = reader
        before._layout = PixelLayout().bound(reader.dtype, reader.channels)
        return before, ArrayTransform(rest, self._layout, reader.output_size, str(reader.mode))

    def _empty(self, count: int, height: int, width: int) -> npt.NDArray[Any]:
        return empty_batch((count, *self._layout.shape(height, width)), self._layout.dtype)

    def _stack_as_stored(self, positions: list[int]) -> npt.NDArray[Any]:
        if not positions:
            raise ValueError("an empty index array has no shape to return: give a size")
        images = self._read(positions, [self._reader.read] * len(positions))
        stack = self._empty(len(images), images[0].height, images[0].width)
        for row, image in enumerate(images):
            if image.size != images[0].size:
                first, other = self.name_of(positions[0]), self.name_of(positions[row])
                raise ReturnError(
                    "images of unequal size cannot be stacked: give a size, or a transform that"
                    " ends with a crop or a Resize((height, width)). For boxes in pixels, read the"
                    " images with rb.NonUniformImageFileAccessor, and change both with"
                    " source.map_samples(change.on(...)). "
                    f"{first!r} is {images[0].height}x{images[0].width}, "
                    f"{other!r} is {image.height}x{image.width} (height x width)"
                )
            self._layout.write(image, stack[row])
        return stack


class ImageObjects(EncodedImages):
    """Images as Pillow images: an int gives one, a 1-D integer array a list of them."""

    def __getitem__(self, index: Any) -> Image.Image | list[Image.Image]:
        positions = sample_positions(index, len(self))
        if isinstance(positions, int):
            positions = np.array([positions])
            return self.read_seeded(positions, seeded_alone(positions))[0]
        return self.read_seeded(positions, seeded_alone(positions))

    def read_seeded(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> list[Image.Image]:
        """Return the images at `index`.

        `rng_of(row)` returns the generator of a row, as `SeededAccessor` says.
        """
        return self._pillow_images(index, rng_of)


class StackedIfSized(ImageArrays):
    """Images as arrays if they have a size, and otherwise as Pillow images.

    An int gives one image; an index array gives the stack, or a list of Pillow images.
    """

    def __init__(
        self, reader: Readers, store: ByteStore, openers: Openers, layout: PixelLayout | None
    ) -> None:
        is_sized = isinstance(reader, SizedReaders) or reader.output_size is not None
        if is_sized:
            super().__init__(reader, store, openers, layout)
            return
        if layout is not None:
            raise ValueError(
                "a layout needs arrays of one size: give a size, or a transform that ends with a"
                " crop or a Resize((height, width))"
            )
        EncodedImages.__init__(self, reader, store, openers)
        self._layout = PixelLayout().bound(np.dtype(np.uint8), (3,))  # a Pillow image has no layout
        self._left_to_do = None

    def _stack(self, index: npt.NDArray[np.intp], rng_of: RngOf) -> Any:
        if self._reader.output_size is None:
            return self._pillow_images(index, rng_of)
        return super()._stack(index, rng_of)
