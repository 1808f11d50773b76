"""Checks whether Ray runs at an address before `ray.init` connects to it.

`ray.init` would take ten minutes to fail, and no signal would interrupt it.
"""

from __future__ import annotations

import logging
import os
import socket
import time

import ray
from ray import exceptions as ray_errors
from ray._private import services
from ray._raylet import GcsClient  # type: ignore[attr-defined]

from raybatch.errors import PoolError
from raybatch.notices import say

# The advice for users of Ray Client.
INSTEAD_OF_CLIENT = (
    "Run the program on a host of the cluster, with HOST:PORT as address, or with "
    "`ray job submit`: batches arrive through the object store of the program's own host"
)

_log = logging.getLogger(__name__)

# How long a server can take to accept a connection, and then to answer.
_ANSWER_TIMEOUT_S = 2.0
_TRY_EVERY_S = 0.5

# The start of an HTTP/2 connection, which gRPC uses: the preface and an empty SETTINGS frame. A
# server answers with its own SETTINGS frame.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEAD_BYTES, _TYPE_AT, _SETTINGS = 9, 3, 4


def wait_for_ray(address: str, timeout_s: float) -> None:
    """Wait until Ray answers at `address`, HOST:PORT or "auto", and accepts this process.

    Raise ConnectionError if it does not answer within `timeout_s`, or refuses this process.
    """
    # Ray has no public function that resolves an address as `ray.init` does.
    place = str(services.canonicalize_bootstrap_address(address))
    deadline = time.monotonic() + timeout_s
    told = False
    while (fault := fault_at(place)) is not None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            tried = f" (tried for {timeout_s:g} s)" if timeout_s else ""
            raise ConnectionError(
                f"no Ray answers at {place}: {fault}{tried}. Is Ray running there (`ray start "
                "--head` uses port 6379), and can this host reach it?"
            )
        if not told:
            told = True
            say(_log, f"no Ray answers at {place} ({fault}); trying for {timeout_s:g} s")
        time.sleep(min(_TRY_EVERY_S, left_s))
    _check_admitted(place)


def fault_at(place: str) -> str | None:
    """Return why Ray cannot be at `place`, HOST:PORT; None if a Ray seems to run there."""
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection(
            (host.strip("[]"), int(port)), _ANSWER_TIMEOUT_S
        ) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return None  # without a certificate, the answer cannot be read
            connection.sendall(_PREFACE)
            head = connection.recv(_FRAME_HEAD_BYTES, socket.MSG_WAITALL)
    except TimeoutError:
        return f"no answer within {_ANSWER_TIMEOUT_S:g} s"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    if len(head) < _FRAME_HEAD_BYTES or head[_TYPE_AT] != _SETTINGS:
        return "the server there is not Ray"
    return None


def _check_admitted(place: str) -> None:
    """Raise ConnectionError if the Ray at `place` needs a token that this process lacks."""
    try:
        from ray._private.authentication.authentication_token_setup import (
            ensure_token_if_auth_enabled,
        )
    except ImportError:
        return  # this release of Ray has no tokens
    try:
        # Check here first: without the token it needs, Ray's own client would end this process.
        ensure_token_if_auth_enabled(create_token_if_missing=False)
        GcsClient(address=place)
    except ray_errors.AuthenticationError as error:
        is_on = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
        found = "refuses this process's token" if is_on else "RAY_AUTH_MODE=token is not set here"
        raise ConnectionError(
            f"the Ray at {place} asks for a token, and {found}. Set RAY_AUTH_MODE=token, and put "
            "the cluster's token into ~/.ray/auth_token or into the file at RAY_AUTH_TOKEN_PATH"
        ) from error
    except ray_errors.RayError as error:
        raise ConnectionError(
            f"the server at {place} does not speak the protocol of Ray {ray.__version__}: {error}"
        ) from error


def check_not_of_client(address: str | None) -> None:
    """Raise PoolError if `address` belongs to Ray Client, or this process uses Ray Client."""
    if (address or "").startswith("ray://"):
        raise PoolError(f"{address} is an address for Ray Client. {INSTEAD_OF_CLIENT}")
    if ray.util.client.ray.is_connected():
        raise PoolError(f"this process is connected through Ray Client. {INSTEAD_OF_CLIENT}")
