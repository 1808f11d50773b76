"""Whether a Ray answers at an address: `ray.init` takes ten minutes to find out, and no signal interrupts it."""

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

# What to do where Ray Client was meant to be used.
INSTEAD_OF_CLIENT = (
    "Run the program on a host of the cluster, with HOST:PORT as address, or as `ray job submit`: batches come through "
    "the object store of the host that the program runs on"
)

_log = logging.getLogger(__name__)

# How long a server may take to take a connection, and to say what it is.
_ANSWER_TIMEOUT_S = 2.0
_TRY_EVERY_S = 0.5

# What a client of HTTP/2, and so of gRPC, says first; with it go settings, here none, which the server answers with its own.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEAD_BYTES, _TYPE_AT, _SETTINGS = 9, 3, 4


def wait_for_ray(address: str, timeout_s: float) -> None:
    """Return when a Ray that takes this process answers at `address`, HOST:PORT or "auto".

    ConnectionError if none answers within `timeout_s`, or it refuses this process.
    """
    # There is no public way to ask what `ray.init` makes of an address.
    place = str(services.canonicalize_bootstrap_address(address))
    deadline = time.monotonic() + timeout_s
    told = False
    while (fault := fault_at(place)) is not None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise ConnectionError(
                f"no Ray answers at {place}: {fault}{f', for {timeout_s:g} s' if timeout_s else ''}. Is Ray up there "
                "(`ray start --head` takes port 6379), and can it be reached from here?"
            )
        if not told:
            told = True
            say(_log, f"no Ray answers at {place} ({fault}); trying for {timeout_s:g} s")
        time.sleep(min(_TRY_EVERY_S, left_s))
    _check_admitted(place)


def fault_at(place: str) -> str | None:
    """Return why no Ray can be at `place`, HOST:PORT; None if one may be."""
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection(
            (host.strip("[]"), int(port)), _ANSWER_TIMEOUT_S
        ) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return None  # what it says is not for everybody
            connection.sendall(_HELLO)
            head = connection.recv(_FRAME_HEAD_BYTES, socket.MSG_WAITALL)
    except TimeoutError:
        return f"no answer within {_ANSWER_TIMEOUT_S:g} s"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    if len(head) < _FRAME_HEAD_BYTES or head[_TYPE_AT] != _SETTINGS:
        return "something else than Ray is there"
    return None


def _check_admitted(place: str) -> None:
    """ConnectionError if the Ray at `place` asks for a token that this process does not have."""
    try:
        from ray._private.authentication.authentication_token_setup import (
            ensure_token_if_auth_enabled,
        )
    except ImportError:
        return  # a Ray that knows no tokens
    try:
        # Ray's client would end this process if it is to have a token and finds none.
        ensure_token_if_auth_enabled(create_token_if_missing=False)
        GcsClient(address=place)
    except ray_errors.AuthenticationError as error:
        is_on = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
        found = (
            "refuses the one of this process" if is_on else "RAY_AUTH_MODE=token is not set here"
        )
        raise ConnectionError(
            f"the Ray at {place} asks for a token, and {found}. Set RAY_AUTH_MODE=token, and put the cluster's token "
            "into ~/.ray/auth_token or into a file that RAY_AUTH_TOKEN_PATH names"
        ) from error
    except ray_errors.RayError as error:
        raise ConnectionError(
            f"what answers at {place} does not speak as Ray {ray.__version__} does: {error}"
        ) from error


def check_not_of_client(address: str | None) -> None:
    """PoolError if `address` is one of Ray Client, or the program has connected by that."""
    if (address or "").startswith("ray://"):
        raise PoolError(f"{address} is an address of Ray Client. {INSTEAD_OF_CLIENT}")
    if ray.util.client.ray.is_connected():
        raise PoolError(f"this process is connected by Ray Client. {INSTEAD_OF_CLIENT}")
