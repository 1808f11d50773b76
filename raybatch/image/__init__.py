"""Reads one image, from bytes to pixels."""

from raybatch.image import augment
from raybatch.image.contact_sheet import contact_sheet
from raybatch.image.float_images import ImageArrayUInt8ToFloat32
from raybatch.image.pixels import PixelLayout
from raybatch.image.reader import ImageReader

__all__ = ["ImageArrayUInt8ToFloat32", "ImageReader", "PixelLayout", "augment", "contact_sheet"]
