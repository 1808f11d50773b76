"""The signal handlers of the program, which Ray takes away both when it starts and when it ends."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What Ray 2.60 handles by itself in the process of a driver. `faulthandler` handles all but the
# first two.
_RAYS = (
    signal.SIGTERM,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
)

# A `struct sigaction` takes no more bytes on any system.
_ACTION_BYTES = 256


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Give the program the signal handlers back that it has now, whatever Ray does to them in the `with`.

    `ray.init` sets a handler for SIGTERM in Python, and others for SIGTERM and for crashes below
    Python, where they come first; `ray.shutdown` leaves none at all. A program that saves a
    checkpoint on SIGTERM would die without it.
    """
    in_python = signal.getsignal(signal.SIGTERM)
    if in_python is _exit:
        in_python = signal.SIG_DFL
    below_python = {number: _action(number) for number in _RAYS}
    try:
        yield
    finally:
        for number, action in below_python.items():
            _libc().sigaction(number, action, None)
        # None: it was set by other than Python.
        if _may_set_handlers() and in_python is not None:
            signal.signal(signal.SIGTERM, in_python)


def exit_on_sigterm() -> None:
    """Have SIGTERM end the program by `SystemExit`, if nothing is set up for it, as `ray.init` does.

    A Ray whose driver dies without that leaves processes behind for a while.
    """
    if _may_set_handlers() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: object) -> None:
    sys.exit(128 + number)  # the status that a shell gives a program that a signal has ended


def _may_set_handlers() -> bool:
    """Return whether this is the main thread: no other may change Python's handlers, so Ray does not either."""
    return threading.current_thread() is threading.main_thread()


def _action(number: int) -> bytes:
    """Return what the process does on a signal, in the form of the system."""
    action = ctypes.create_string_buffer(_ACTION_BYTES)
    _libc().sigaction(number, None, action)
    return action.raw


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
