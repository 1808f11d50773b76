"""Actors take over a program's Pillow settings, code, paths and environment, and run `setup`."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from PIL import Image, ImageFile, PngImagePlugin

import raybatch as rb
from raybatch.errors import BatchError, PoolError
from raybatch.pools.ray.program import Program
from tests.drivers import start
from tests.session_pool import SessionPool


def numbers() -> rb.ArrayDataSource:
    return rb.ArrayDataSource([np.arange(8)])


@pytest.fixture(scope="module")
def pool(session_ray: SessionPool) -> Iterator[rb.RayActorPool]:
    with rb.RayActorPool(2, num_cpus_per_actor=0.1) as pool:
        yield pool.wait_until_up()


def test_pillows_settings_are_those_of_each_iteration(
    tmp_path: Path, pool: rb.RayActorPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    (tmp_path / "half.jpg").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * 4000, zip=True)
    Image.fromarray(noise).save(tmp_path / "text.png", pnginfo=text)
    paths = [str(tmp_path / name) for name in ("half.jpg", "text.png")]
    loaders = [
        rb.Loader(
            rb.ArrayDataSource([rb.ImageFileAccessor([path], (16, 16))]),
            1,
            pool=pool,
            check_sample=False,
        )
        for path in paths
    ]
    half, with_text = loaders

    def is_read(loader: rb.Loader) -> bool:
        try:
            return len(list(loader)) == 1
        except BatchError:
            return False

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
            assert is_read(half)
        with monkeypatch.context() as patched:
            patched.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 1000)
            assert not is_read(with_text)
        assert [is_read(half), is_read(with_text)] == [False, True]


def test_actors_import_no_torch_for_a_program_that_has(pool: rb.RayActorPool) -> None:
    # Importing torch takes seconds, and half a gigabyte of memory.
    torch = pytest.importorskip("torch", reason="it is about the filters of torch")
    warnings.simplefilter("ignore", torch.jit.TracerWarning)  # as torch itself does

    def has_torch(numbers: Any) -> tuple[Any]:
        return (np.full(len(numbers), "torch" in sys.modules),)

    loader = rb.Loader(numbers().map(has_torch), 1, pool=pool)
    assert not any(batch[0][0] for batch in loader)


def test_code_that_is_reloaded_is_new_in_actors_too(
    tmp_path: Path, pool: rb.RayActorPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "reloaded_code.py"

    def write(amount: int) -> None:
        module.write_text(f"def more(x): return (x + {amount},)\ndef path(): pass\n")

    def make() -> list[int]:
        loader = rb.Loader(numbers().map(code.more), 8, pool=pool)
        return [int(batch[0]) for (batch,) in loader]

    write(1)
    code: Any = importlib.import_module("reloaded_code")
    # Actors on a Ray that the pool did not start do not get `sys.path`, so `setup` adds the folder.
    # A test below covers a Ray that the pool itself started.
    path = str(tmp_path)
    with rb.RayActorPool(1, num_cpus_per_actor=0.1, setup=lambda: sys.path.insert(0, path)) as pool:
        assert make() == [1]
        write(1000)
        assert make() == [1], "it is not reloaded here"
        importlib.reload(code)
        assert make() == [1000]
        write(10)
        importlib.reload(code)
        assert make() == [10]
    del sys.modules["reloaded_code"]


class Adder:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x + self.amount,)


def test_an_object_that_is_changed_between_epochs_is_sent_again(pool: rb.RayActorPool) -> None:
    adder = Adder(1)
    loader = rb.Loader(numbers().map(adder), 8, pool=pool)
    (first,) = next(iter(loader))
    adder.amount = 100
    (second,) = next(iter(loader))
    assert [first[0], second[0]] == [1, 100]


def test_what_has_not_changed_is_not_sent_again(pool: rb.RayActorPool) -> None:
    constant = pool.shared_constant(rb.ArrayDataSource([np.zeros((1000, 1000))]))
    key, ref = constant.key, constant.ref
    pool.open(constant).close()
    assert (constant.key, constant.ref) == (key, ref)
    constant.renew(constant.program._replace(sys_path=("/elsewhere",)))
    assert constant.key != key
    assert constant.ref == ref, "what is set has changed, and the arrays have not"


def test_a_random_generator_in_the_source_is_told(
    pool: rb.RayActorPool, capsys: pytest.CaptureFixture[str]
) -> None:
    class Noisy:
        def __init__(self, rng: object) -> None:
            self.rng = rng

        def __call__(self, x: np.ndarray) -> tuple[np.ndarray]:
            return (x,)

    list(rb.Loader(numbers().map(Noisy(None), seed_globals=False), 8, pool=pool))
    assert capsys.readouterr().err == ""
    noisy = Noisy(np.random.default_rng(0))
    list(rb.Loader(numbers().map(noisy), 8, pool=pool))
    assert capsys.readouterr().err == "", "it is seeded"
    list(rb.Loader(numbers().map(noisy, seed_globals=False), 8, pool=pool))
    said = capsys.readouterr().err
    assert said.startswith("raybatch: source.fn.rng is a random generator: each actor draws")
    assert said.count("\n") == 1


def is_own_format(prefix: bytes) -> bool:
    return prefix.startswith(b"OWN!")


class OwnFormat(ImageFile.ImageFile):
    format = "OWN"

    def _open(self) -> None:
        self._mode, self._size = "L", (2, 2)
        self.tile = [ImageFile._Tile("raw", (0, 0, 2, 2), 4, "L")]


def register() -> None:
    Image.register_open("OWN", OwnFormat, is_own_format)


def test_setup_registers_a_decoder(tmp_path: Path, ray_cluster: None) -> None:
    path = tmp_path / "a.own"
    path.write_bytes(b"OWN!" + bytes([1, 2, 3, 4]))
    register()
    images = rb.ImageFileAccessor([str(path)], mode="L", formats=("OWN",))
    wanted = np.array([[[1, 2], [3, 4]]], np.uint8)
    np.testing.assert_array_equal(images[np.array([0])], wanted)
    with rb.RayActorPool(1, num_cpus_per_actor=0.1, setup=register) as pool:
        ((made,),) = rb.Loader(rb.ArrayDataSource([images]), 1, pool=pool)
        np.testing.assert_array_equal(made, wanted)
    with (
        rb.RayActorPool(1, num_cpus_per_actor=0.1) as pool,
        pytest.raises(BatchError, match=r"setup=|cannot identify|OWN"),
    ):
        list(rb.Loader(rb.ArrayDataSource([images]), 1, pool=pool))


def failing() -> None:
    raise LookupError("no licence")


@pytest.mark.parametrize("name", [None, "a pool whose setup fails"])
def test_a_setup_that_fails_is_an_error_at_once(name: str | None, ray_cluster: None) -> None:
    with rb.RayActorPool(2, num_cpus_per_actor=0.1, setup=failing, name=name) as pool:
        with pytest.raises(PoolError, match=r"`setup` failed on host .*LookupError: no licence"):
            list(rb.Loader(numbers(), 8, pool=pool))
        with pytest.raises(PoolError, match="`setup` failed"):
            pool.wait_until_up()


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="setup must be a function"):
        rb.RayActorPool(1, setup=3)  # type: ignore[arg-type]


ON_ITS_OWN_RAY = """
import importlib, os, pathlib
source = rb.ArrayDataSource([np.arange(100)])
folder = sys.argv[1]
pathlib.Path(folder, "found_late.py").write_text("import os\\ndef of(x): return (x + int(os.environ['AMOUNT']),)\\n")
with rb.RayActorPool(1) as pool:
    pool.wait_until_up()
    sys.path.insert(0, folder)
    os.environ["AMOUNT"] = "5"
    import found_late
    loader = rb.Loader(source.map(found_late.of), 100, pool=pool)
    first = int(next(iter(loader))[0][0])
    os.environ["AMOUNT"] = "7"
    second = int(next(iter(loader))[0][0])
    say(first=first, second=second)
"""


def test_paths_and_the_environment_reach_a_ray_of_its_own(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with start(ON_ITS_OWN_RAY, env=env, arguments=[str(tmp_path)]) as driver:
        assert driver.listen() == {"first": "5", "second": "7"}


def test_no_environment_is_sent_to_a_ray_of_others(pool: rb.RayActorPool) -> None:
    found = Program.here(None)
    assert not found.environ
    assert not found.sys_path
    assert ray.is_initialized()
