"""The part of the build that pyproject.toml has no words for: what is in C, where there is a compiler."""

from setuptools import Extension, setup

kernel = Extension(
    "raybatch.image._kernel",
    [
        f"raybatch/image/{name}.c"
        for name in ("kernel", "color_kernel", "warp_kernel", "jpeg_part", "jpeg_entropy")
    ],
    depends=["raybatch/image/jpeg_entropy.h", "raybatch/image/libjpeg.h"],
    # Pillow's arithmetic has no fused operations; its sums of integers, as those of the kernel, wrap round.
    extra_compile_args=["-O3", "-ffp-contract=off", "-fwrapv"],
    libraries=["m"],
    optional=True,
)
setup(ext_modules=[kernel])
