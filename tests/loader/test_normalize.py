"""Images that become floats only at the consumer; the values are those of a `PixelLayout`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import raybatch as rb
from raybatch.image import pixels

torch = pytest.importorskip("torch")

from raybatch.adapters.torch.to_torch import _DeviceImages, to_torch  # noqa: E402

TorchDispatchMode: Any = torch.utils._python_dispatch.TorchDispatchMode

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 7, 5, 3), np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (10, 7, 5), np.uint8)
LABELS = np.arange(10, dtype=np.uint8)


def wanted(images: Any, channels_first: bool, mean: Any = MEAN, std: Any = STD) -> Any:
    floats = (images.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return floats.transpose(0, 3, 1, 2) if channels_first and images.ndim == 4 else floats


def batches(data: list[Any], **options: Any) -> list[Any]:
    return list(to_torch(rb.Loader(rb.ArrayDataSource(data), 4), **options))


@pytest.fixture(params=["kernel", "no kernel"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no kernel":
        monkeypatch.setattr(pixels, "usable_kernel", lambda: None)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("channels_first", [False, True])
def test_images_become_the_floats_of_a_layout(channels_first: bool) -> None:
    got = batches([IMAGES, LABELS, GREY], normalize=(MEAN, STD), channels_first=channels_first)
    images = torch.cat([batch[0] for batch in got])
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    np.testing.assert_array_equal(images.numpy(), wanted(IMAGES, channels_first))
    # Labels and masks beside images stay as they are.
    np.testing.assert_array_equal(torch.cat([batch[1] for batch in got]).numpy(), LABELS)
    np.testing.assert_array_equal(torch.cat([batch[2] for batch in got]).numpy(), GREY)


def test_they_are_those_of_an_accessor_with_that_layout(photos: list[str]) -> None:
    layout = rb.PixelLayout(channels_first=True, mean=MEAN, std=STD)
    floats = rb.ImageFileAccessor(photos, (20, 30), layout=layout)
    images = rb.ImageFileAccessor(photos, (20, 30))
    got = batches([images], normalize=(MEAN, STD), channels_first=True)
    np.testing.assert_array_equal(
        torch.cat([x for (x,) in got]).numpy(), floats[np.arange(len(photos))]
    )


@pytest.mark.usefixtures("way")
def test_grey_images_are_the_first_array_of_three_axes() -> None:
    got = batches([GREY, GREY, LABELS], normalize=(0.5, 0.25), channels_first=True)
    np.testing.assert_array_equal(
        torch.cat([batch[0] for batch in got]).numpy(), wanted(GREY, True, 0.5, 0.25)
    )
    np.testing.assert_array_equal(torch.cat([batch[1] for batch in got]).numpy(), GREY)


def test_channels_first_alone_keeps_the_bytes() -> None:
    got = batches([IMAGES], channels_first=True)
    images = torch.cat([batch[0] for batch in got])
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images.numpy(), IMAGES.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("images", [IMAGES, GREY])
def test_the_way_of_a_device_gives_the_same(images: Any, channels_first: bool) -> None:
    numbers: Any = (MEAN, STD) if images.ndim == 4 else (0.5, 0.25)
    layout = rb.adapters.normalize.ImageLayout(numbers, channels_first)
    got = _DeviceImages(layout, torch.from_numpy)(images, 0)
    assert got.is_contiguous()
    np.testing.assert_array_equal(got.numpy(), wanted(images, channels_first, *numbers))


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (
            [LABELS],
            {"normalize": (0.5, 0.5)},
            ValueError,
            r"This batch is \(ndarray uint8\[4\],\)\.",
        ),
        (
            [wanted(IMAGES, True)],
            {"normalize": (MEAN, STD)},
            ValueError,
            (
                r"This batch is \(ndarray float32\[4, 3, 7, 5\],\)\. For images that are already"
                r" floats"
            ),
        ),
        (
            [IMAGES],
            {"normalize": ((0.1, 0.2), (1, 1))},
            ValueError,
            r"mean has 2 values, but the images have 3 channels: ndarray uint8\[4, 7, 5, 3\]",
        ),
        (
            [IMAGES],
            {"normalize": ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))},
            ValueError,
            r"mean is \(123\.7, 116\.3, 103\.5\), .* divide mean and std by .* such as 255",
        ),
        ([IMAGES], {"normalize": 0.5}, TypeError, r"must be \(mean, std\), not 0.5"),
        ([IMAGES], {"normalize": (MEAN, 0)}, ValueError, "std must be above 0"),
        ([IMAGES], {"normalize": (np.nan, 1)}, ValueError, "mean must be a finite number"),
        ([IMAGES], {"normalize": (MEAN, None)}, TypeError, r"must be \(mean, std\)"),
        ([IMAGES], {"normalize": (None, None)}, TypeError, r"must be \(mean, std\)"),
        ([LABELS, GREY], {"channels_first": True}, ValueError, "need images"),
        # Masks beside images that are already floats do not count as images.
        ([wanted(IMAGES, True), GREY], {"normalize": (0.5, 0.5)}, ValueError, "need images"),
    ],
)
def test_what_cannot_be_normalised_is_told(
    data: list[Any], options: Any, error: type[Exception], message: str
) -> None:
    loader = rb.Loader(rb.ArrayDataSource(data), 4)
    with pytest.raises(error, match=message):
        list(to_torch(loader, **options))


@pytest.mark.parametrize("normalize", [0.5, (MEAN, 0), (MEAN, "std"), ([MEAN], STD)])
def test_what_is_no_mean_and_std_is_refused_where_it_is_given(normalize: Any) -> None:
    loader = rb.Loader(rb.ArrayDataSource([IMAGES]), 4)
    with pytest.raises((TypeError, ValueError), match=r"(normalize|mean|std) must be"):
        to_torch(loader, normalize=normalize)


def test_a_list_of_images_of_their_own_sizes_is_no_batch_of_grey_ones() -> None:
    source = rb.ArrayDataSource([IMAGES]).map(lambda x: (list(x), {"y": len(x)}))
    with pytest.raises(ValueError, match=r"\(list of 4, {'y': 4}\)"):
        next(iter(to_torch(rb.Loader(source, 4), normalize=(0.5, 0.5))))


def test_two_views_of_an_image_are_both_normalised() -> None:
    source = rb.ArrayDataSource([IMAGES, LABELS]).map(lambda x, y: ({"views": (x, x[::-1])}, y))
    views, labels = next(iter(to_torch(rb.Loader(source, 10), normalize=(MEAN, STD))))
    for view, images in zip(views["views"], (IMAGES, IMAGES[::-1]), strict=True):
        np.testing.assert_array_equal(view.numpy(), wanted(images, False))
    assert labels.tolist() == LABELS.tolist()


def test_floats_are_made_in_the_memory_of_batches_that_are_gone() -> None:
    source = rb.ArrayDataSource([np.concatenate([IMAGES] * 10)])
    places, kept = set(), []
    for (x,) in to_torch(rb.Loader(source, 4), normalize=(MEAN, STD)):
        places.add(x.data_ptr())
        # Occupy freed memory of this size, so that an address comes back only if the adapter
        # itself reuses the memory.
        kept.append(np.empty(x.nbytes, np.uint8))
    # The adapter needs two pieces: the loop still holds a batch when the next one is made.
    assert len(places) == 2


def test_a_pickled_data_set_normalises_the_rest() -> None:
    dataset = to_torch(rb.Loader(rb.ArrayDataSource([IMAGES]), 4), normalize=(MEAN, STD))
    iterator = iter(dataset)
    next(iterator)
    rest = torch.cat([x for (x,) in pickle.loads(pickle.dumps(dataset))])
    np.testing.assert_array_equal(rest.numpy(), wanted(IMAGES, False)[4:])


class Operations(TorchDispatchMode):  # type: ignore[misc] # torch may be missing where types are checked
    """A record of the devices of divisors, and of the shapes of tensors that leave the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.divisors: list[str] = []
        self.sent: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.ops.aten.div_.Tensor:
            self.divisors.append(args[1].device.type)
        if function is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
            self.sent.append(tuple(args[0].shape))
        return function(*args, **(kwargs or {}))


def test_a_device_divides_by_tensors_of_its_own_that_are_sent_once() -> None:
    loader = rb.Loader(rb.ArrayDataSource([IMAGES]), 5)
    with Operations() as seen:
        list(to_torch(loader, device="meta", normalize=(MEAN, STD), channels_first=True))
    # A divisor on the CPU would make CUDA inexact. It is sent only once, because CUDA waits for it.
    assert seen.divisors == ["meta"] * 4
    assert seen.sent == [(5, 7, 5, 3), (3, 3), (5, 7, 5, 3)]
