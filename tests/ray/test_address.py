"""An address where no Ray answers is reported at once, and is an error after the start timeout."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from raybatch.errors import PoolError
from raybatch.pools.ray import address as module
from raybatch.pools.ray.address import fault_at, wait_for_ray
from raybatch.pools.ray.connection import RayConnection


@contextmanager
def server(answer: bytes | None) -> Iterator[str]:
    """Run a server that sends `answer` to each client and hangs up; if None, it never answers.

    Yield its address.
    """

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # the test has ended
            clients.append(client)
            if answer is not None:
                client.recv(1000)
                client.sendall(answer)
                client.close()

    clients: list[socket.socket] = []
    with socket.create_server(("", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for client in clients:
        client.close()


@contextmanager
def nobody() -> Iterator[str]:
    """Yield an address where no server listens."""
    with socket.socket() as bound:
        bound.bind(("", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    with nobody() as address:
        begun = time.monotonic()
        with pytest.raises(ConnectionError) as raised:
            wait_for_ray(address, 1)
    assert 1 <= time.monotonic() - begun < 10
    port = address.split(":")[1]
    assert f":{port}: Connection refused (tried for 1 s). Is Ray running there" in str(raised.value)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f":{port} (Connection refused); trying for 1 s" in told


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (None, "no answer within 2 s"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server there is not Ray"),
        (b"", "the server there is not Ray"),
    ],
)
def test_something_else_is_there(answer: bytes | None, fault: str) -> None:
    with server(answer) as address, pytest.raises(ConnectionError, match=fault):
        wait_for_ray(address, 0)


def test_it_waits_for_a_ray_that_is_not_up_yet(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def late(place: str) -> str | None:
        tried.append(place)
        return "Connection refused" if len(tried) < 3 else fault_at(place)

    monkeypatch.setattr(module, "fault_at", late)
    address = ray.get_runtime_context().gcs_address
    wait_for_ray(address, 60)
    assert tried == [address] * 3


def test_what_is_waiting_ends_by_sigterm(photos: list[str]) -> None:
    with nobody() as address:
        folder = str(Path(photos[0]).parent)
        command = [sys.executable, "-m", "raybatch", "load", folder, "--address", address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
            assert program.stderr is not None
            assert "trying for 60 s" in program.stderr.readline()
            program.terminate()
            assert program.wait(timeout=30) == -signal.SIGTERM


def test_ray_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PoolError, match="ray://head:10001 is an address for Ray Client"):
        RayConnection("ray://head:10001", 1)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(PoolError, match="ray://head:10001 is an address for Ray Client"):
        RayConnection(None, 1)


def test_a_program_that_ray_client_has_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.util.client.ray, "is_connected", lambda: True)
    with pytest.raises(PoolError, match="connected through Ray Client"):
        RayConnection(None, 1)
