"""Builds the C code where there is a compiler, which pyproject.toml cannot express."""

from hashlib import sha256
from pathlib import Path

from setuptools import Extension, setup

FOLDER = Path(__file__).parent / "raybatch" / "image"
# As raybatch/image/kernel.py computes it, which refuses what was built from other sources.
digest = sha256(b"".join(file.read_bytes() for file in sorted(FOLDER.glob("*.[ch]")))).hexdigest()

kernel = Extension(
    "raybatch.image._kernel",
    [
        f"raybatch/image/{name}.c"
        for name in ("kernel", "color_kernel", "warp_kernel", "jpeg_part", "jpeg_entropy")
    ],
    depends=["raybatch/image/jpeg_entropy.h", "raybatch/image/libjpeg.h"],
    define_macros=[("SOURCES", f'"{digest}"')],
    # Pillow's arithmetic has no fused operations; its sums of integers, as those of the kernel,
    # wrap round.
    extra_compile_args=["-O3", "-ffp-contract=off", "-fwrapv"],
    libraries=["m"],
    optional=True,
)
setup(ext_modules=[kernel])
