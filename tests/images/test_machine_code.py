"""The machine code of the scaling: compiled once, kept whole, and used only where it fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from numba import types

from raybatch.image import scaling
from raybatch.image.compiled import compiling, machine_code


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where machine code is kept: nowhere yet, the second only where the first cannot be."""
    (tmp_path / "file").touch()
    places = [tmp_path / "file" / "never", tmp_path / "kept" / "here"]
    monkeypatch.setattr(machine_code, "_folders", lambda: places)
    return places


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What has been compiled."""
    done: list[bytes] = []

    def compiled() -> bytes:
        done.append(compiling.compile_all())
        return done[-1]

    monkeypatch.setattr(machine_code, "_compiled", compiled)
    return done


def test_machine_code_is_compiled_once_by_one_process(
    folders: list[Path], compilations: list[bytes]
) -> None:
    with ThreadPoolExecutor(3) as threads:  # each has its lock, as processes have
        codes = list(threads.map(lambda _: machine_code.object_file(), range(3)))
    assert compilations == codes[:1]
    assert codes == codes[:1] * 3
    assert [path.suffix for path in sorted(folders[1].iterdir())] == [".lock", ".o"]


@pytest.mark.parametrize("change", ["torn", "other byte", "empty"])
def test_machine_code_that_was_damaged_is_compiled_again(
    change: str, folders: list[Path], compilations: list[bytes]
) -> None:
    machine_code.object_file()
    [path] = folders[1].glob("*.o")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= change == "other byte"
    path.write_bytes(data[: {"torn": len(data) // 2, "empty": 0}.get(change, len(data))])
    for _ in range(2):
        assert machine_code.object_file() == compilations[-1]
        assert len(compilations) == 2


@pytest.mark.parametrize("changed", ["source", "compiler", "processor"])
def test_machine_code_of_something_else_is_not_used(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine_code._fingerprint()
    assert machine_code._fingerprint() == before
    if changed == "source":
        for path in Path(machine_code.__file__).parent.glob("*.py"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(machine_code, "_HERE", tmp_path)
        assert machine_code._fingerprint() == before
        (tmp_path / "resize_passes.py").write_text("")
    elif changed == "compiler":
        monkeypatch.setattr(machine_code, "version", lambda name: "0.0")
    else:
        monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "none")
    assert machine_code._fingerprint() != before


def test_without_a_folder_machine_code_is_compiled_each_time(
    folders: list[Path], compilations: list[bytes]
) -> None:
    folders.pop()
    assert [machine_code.object_file() for _ in range(2)] == compilations


def test_code_that_needs_more_than_llvm_is_not_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def grows(size: int) -> int:
        return len([size])

    monkeypatch.setattr(compiling, "FUNCTIONS", {"grows": (grows, [types.int64])})
    monkeypatch.setattr(machine_code, "_folders", tuple)
    make: Any = scaling._kernel.__wrapped__
    assert make() is None
    assert "grows() calls NRT_" in caplog.text


def test_machine_code_is_used_where_nothing_can_be_written(
    folders: list[Path], compilations: list[bytes]
) -> None:
    code = machine_code.object_file()
    [lock] = folders[1].glob("*.lock")
    lock.unlink()
    lock.mkdir()  # so that nobody can lock it, whoever runs the test
    assert machine_code.object_file() == code
    assert compilations == [code]


def test_what_cannot_be_kept_is_compiled_once(
    folders: list[Path], compilations: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.append(folders[1].with_name("other"))

    def full(path: Path, code: bytes) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(machine_code, "_keep", full)
    assert [machine_code.object_file()] == compilations


def test_a_user_without_a_home_has_a_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert len(machine_code._folders()) == 1
