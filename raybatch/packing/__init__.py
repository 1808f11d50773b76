"""Batches decoded once, into Arrow files that are mapped into memory from then on."""

from raybatch.packing.packed_folder import PackFault, verify
from raybatch.packing.packer import Packed, pack

__all__ = ["PackFault", "Packed", "pack", "verify"]
