"""Keeps the program's signal handlers, which Ray replaces at its start and removes at its end."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# The signals that Ray 2.60 handles in a driver. `faulthandler` handles all but the first two.
_RAY_SIGNALS = (
    signal.SIGTERM,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
)

# A `struct sigaction` has at most this many bytes on any system.
_ACTION_BYTES = 256


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Restore the current signal handlers of the program when the `with` block ends.

    `ray.init` sets a handler for SIGTERM in Python, and C handlers for SIGTERM and for crashes,
    which run first. `ray.shutdown` removes them all. Without this, a program that saves a
    checkpoint on SIGTERM would die instead.
    """
    in_python = signal.getsignal(signal.SIGTERM)
    if in_python is _exit:
        in_python = signal.SIG_DFL
    below_python = {number: _action(number) for number in _RAY_SIGNALS}
    try:
        yield
    finally:
        for number, action in below_python.items():
            _libc().sigaction(number, action, None)
        # None: the handler was not set from Python.
        if _can_set_handlers() and in_python is not None:
            signal.signal(signal.SIGTERM, in_python)


@contextmanager
def interrupt_held() -> Iterator[None]:
    """Let Ctrl-C take effect when the `with` block ends; a second Ctrl-C takes effect at once.

    If it ended `ray.init` halfway, nothing would shut down the half of Ray that is there, and the
    process could crash when it exits.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not (_can_set_handlers() and callable(handler)):
        yield
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handler(number, frame)
        held.append(number)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:  # also if the block has failed: its error must not swallow Ctrl-C
            handler(signal.SIGINT, None)


def exit_on_sigterm() -> None:
    """Make SIGTERM raise `SystemExit`, as `ray.init` does, unless the program has its own handler.

    If SIGTERM ends a driver without this, its Ray leaves processes behind for a while.
    """
    if _can_set_handlers() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: object) -> None:
    sys.exit(128 + number)  # the status that a shell reports for a program ended by a signal


def _can_set_handlers() -> bool:
    """Return whether this is the main thread. Only there can Python, and so Ray, set handlers."""
    return threading.current_thread() is threading.main_thread()


def _action(number: int) -> bytes:
    """Return the action of the process on a signal, as the bytes of a `struct sigaction`."""
    action = ctypes.create_string_buffer(_ACTION_BYTES)
    _libc().sigaction(number, None, action)
    return action.raw


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
