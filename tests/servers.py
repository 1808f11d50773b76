"""File servers on the loopback interface, each in its own process."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.fs
import pytest

from tests.drivers import wait_for

KEY, SECRET = "AKIAEXAMPLEKEY", "very/secret+Value"


@contextmanager
def s3_server() -> Iterator[int]:
    """Run moto's S3 server, and yield its port."""
    pytest.importorskip("moto")
    port = free_port()
    with _running(port, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]):
        yield port


def s3_filesystem(port: int, **settings: Any) -> pyarrow.fs.S3FileSystem:
    return pyarrow.fs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{port}",
        scheme="http",
        access_key=KEY,
        secret_key=SECRET,
        region="us-east-1",
        **settings,
    )


def s3_url(port: int, key: str, bucket: str = "images") -> str:
    settings = f"scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{port}"
    return f"s3://{KEY}:{quote(SECRET, safe='')}@{bucket}/{quote(key)}?{settings}"


@contextmanager
def http_server(
    folder: Path, state: Path, delay_s: float = 0.0, log: Path | None = None
) -> Iterator[int]:
    """Run nginx over the files of `folder`, and yield its port.

    nginx keeps its own files in `state`, and logs requests in `log`. It answers paths below /busy/
    with status 503, and paths below /denied/ with 403. Other answers begin after `delay_s`; a delay
    needs the module `echo`, which Debian's package nginx-light contains.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    config = state / "nginx.conf"
    module, slow = "", ""
    if delay_s:
        module = "load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;"
        slow = f"location / {{ echo_sleep {delay_s}; echo_exec @files; }} location @files {{ }}"
    config.write_text(f"""
{module}
daemon off;
master_process off;
pid {state}/nginx.pid;
error_log {state}/error.log;
events {{}}
http {{
    access_log {log or "off"};
    {"".join(f"{kind}_temp_path {state}/{kind};" for kind in kinds)}
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        autoindex on;
        location /busy/ {{ return 503; }}
        location /denied/ {{ return 403; }}
        {slow}
    }}
}}
""")
    command = [program, "-p", str(state), "-e", str(state / "error.log"), "-c", str(config)]
    with _running(port, command):
        yield port


@contextmanager
def delayed(port: int, delay_s: float) -> Iterator[int]:
    """Yield a port that forwards to the server at `port`, and delays the client's data.

    A request takes at least `delay_s`.
    """
    own = free_port()
    command = [sys.executable, "-m", "tests.delay", str(own), str(port), str(delay_s)]
    with _running(own, command):
        yield own


def free_port() -> int:
    """Return a port that nobody listens on.

    It is below the range from which the system picks ports for programs that do not name one.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def _running(port: int, command: list[str]) -> Iterator[None]:
    def answers() -> bool:
        assert process.poll() is None, f"{command[0]} has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            wait_for(answers, "a server that answers", 60)
            yield
        finally:
            process.terminate()
