"""Batches decoded once, into Arrow files that are mapped into memory from then on."""

from raybatch.packing.pack import Packed, pack
from raybatch.packing.verify import PackFault, verify

__all__ = ["PackFault", "Packed", "pack", "verify"]
