"""A slow network link: every frame is delayed, and the throughput is limited.

It joins two TAP devices. Each is one end of the link; the programs there need not know about it.
(The kernel's netem would do the same, but many machines lack it.) This needs root (CAP_NET_ADMIN).
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

# Like a router, the link drops frames when its queue is full. Otherwise, a fast sender would let
# the delay grow forever.
_MAX_QUEUE_S = 0.2


@dataclass(frozen=True)
class SlowLink:
    """A link that delays each frame by `delay_s`, and carries `bits_per_s` in each direction."""

    delay_s: float
    bits_per_s: float

    def start(self, one: str, other: str) -> subprocess.Popen[str]:
        """Make the devices `one` and `other`; start a process that carries frames between them."""
        command = [sys.executable, __file__, one, other, str(self.delay_s), str(self.bits_per_s)]
        relay = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, start_new_session=True)
        assert relay.stdout is not None
        if relay.stdout.readline() != "ready\n":
            with relay:
                relay.kill()
            raise RuntimeError(f"cannot make the devices {one} and {other}")
        return relay


class _Direction:
    """The frames on their way from one end to the other, each with its time of arrival."""

    def __init__(self, source: int, target: int, link: SlowLink) -> None:
        self._source, self._target, self._link = source, target, link
        self._frames: collections.deque[tuple[float, bytes]] = collections.deque()
        self._free_at = 0.0

    def take(self, now: float) -> None:
        """Read one frame; drop it if the queue is full."""
        frame = os.read(self._source, _MAX_FRAME)
        begins_at = max(now, self._free_at)
        if begins_at - now < _MAX_QUEUE_S:
            self._free_at = begins_at + 8 * len(frame) / self._link.bits_per_s
            self._frames.append((self._free_at + self._link.delay_s, frame))

    def hand_over(self, now: float) -> float:
        """Write the frames that have arrived, and return the arrival time of the next frame."""
        while self._frames and self._frames[0][0] <= now:
            _, frame = self._frames.popleft()
            try:
                os.write(self._target, frame)
            except OSError:  # That end is down: the frame is lost.
                continue
        return self._frames[0][0] if self._frames else float("inf")


def carry(one: str, other: str, link: SlowLink) -> None:
    """Make two TAP devices, print "ready", and carry frames between them forever."""
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
