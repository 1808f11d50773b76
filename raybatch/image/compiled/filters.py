"""What the compiled functions and their caller agree on."""

BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS = range(5)
# By Pillow's names: the filter, and how far it reaches to either side of its middle, in source pixels.
FILTERS = {
    "BOX": (BOX, 0.5),
    "BILINEAR": (BILINEAR, 1.0),
    "HAMMING": (HAMMING, 1.0),
    "BICUBIC": (BICUBIC, 2.0),
    "LANCZOS": (LANCZOS, 3.0),
}
# Weights are fixed-point numbers with so many bits after the point.
WEIGHT_BITS = 22
# Bytes in a vector.
LANES = 32
