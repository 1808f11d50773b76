"""Decodes batches once, into Arrow files that are then mapped into memory."""

from raybatch.packing.packed_folder import PackFault, verify
from raybatch.packing.packer import Packed, pack

__all__ = ["PackFault", "Packed", "pack", "verify"]
