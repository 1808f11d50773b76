"""The part of the build that pyproject.toml has no words for: what is in C, where there is a compiler."""

from setuptools import Extension, setup

kernel = Extension(
    "raybatch.image._kernel",
    ["raybatch/image/kernel.c", "raybatch/image/jpeg_part.c"],
    # Pillow's arithmetic has no fused operations; its sums of integers, as those of the kernel, wrap round.
    extra_compile_args=["-O3", "-ffp-contract=off", "-fwrapv"],
    libraries=["m"],
    optional=True,
)
setup(ext_modules=[kernel])
