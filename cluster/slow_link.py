"""A network link that is slow: every frame takes its time, and only so many pass in a second.

It joins two TAP devices, each the end of the link for a program that knows nothing of it. (The kernel's own netem
would do the same; many machines lack it.) It takes root (CAP_NET_ADMIN).
"""

from __future__ import annotations

import collections
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_MAX_FRAME = 65536

# A router drops what does not fit its queue; without that, a sender would make the delay grow for ever.
_MAX_QUEUE_S = 0.2


@dataclass(frozen=True)
class SlowLink:
    """A link on which each frame takes `delay_s` seconds in each direction, and `bits_per_s` pass."""

    delay_s: float
    bits_per_s: float

    def start(self, one: str, other: str) -> subprocess.Popen[str]:
        """Make the devices `one` and `other`, and carry frames between them until the process is ended."""
        command = [sys.executable, __file__, one, other, str(self.delay_s), str(self.bits_per_s)]
        relay = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, start_new_session=True)
        assert relay.stdout is not None
        if relay.stdout.readline() != "ready\n":
            with relay:
                relay.kill()
            raise RuntimeError(f"the devices {one} and {other} cannot be made")
        return relay


class _Direction:
    """The frames on their way from one end to the other, each with the time at which it arrives."""

    def __init__(self, source: int, target: int, link: SlowLink) -> None:
        self._source, self._target, self._link = source, target, link
        self._frames: collections.deque[tuple[float, bytes]] = collections.deque()
        self._free_at = 0.0

    def take(self, now: float) -> None:
        """Take the frame that has come."""
        frame = os.read(self._source, _MAX_FRAME)
        begins_at = max(now, self._free_at)
        if begins_at - now < _MAX_QUEUE_S:
            self._free_at = begins_at + 8 * len(frame) / self._link.bits_per_s
            self._frames.append((self._free_at + self._link.delay_s, frame))

    def hand_over(self, now: float) -> float:
        """Hand over what has arrived, and return when the next will have."""
        while self._frames and self._frames[0][0] <= now:
            _, frame = self._frames.popleft()
            try:
                os.write(self._target, frame)
            except OSError:  # that end is down: the frame is lost
                continue
        return self._frames[0][0] if self._frames else float("inf")


def carry(one: str, other: str, link: SlowLink) -> None:
    """Make two TAP devices, say so, and carry frames between them for ever."""
    first, second = _tap(one), _tap(other)
    ways = {first: _Direction(first, second, link), second: _Direction(second, first, link)}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        due = min(way.hand_over(time.monotonic()) for way in ways.values())
        timeout = None if due == float("inf") else max(0.0, due - time.monotonic())
        for end in select.select(list(ways), [], [], timeout)[0]:
            ways[end].take(time.monotonic())


def _tap(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return end


if __name__ == "__main__":
    carry(sys.argv[1], sys.argv[2], SlowLink(float(sys.argv[3]), float(sys.argv[4])))
