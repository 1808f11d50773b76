"""Servers for the files that a module's fixture `folder` writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import http_server, s3_filesystem


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a web server with the files at its root."""
    with http_server(folder, tmp_path_factory.mktemp("nginx")) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def bucket(folder: Path, s3: int) -> int:
    """The port of an S3 server with the files in the bucket `images`."""
    store = s3_filesystem(s3)
    for path in folder.rglob("*"):
        if path.is_file():
            with store.open_output_stream(f"images/{path.relative_to(folder)}") as stream:
                stream.write(path.read_bytes())
    return s3
