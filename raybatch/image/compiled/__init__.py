"""Pillow's resampling of 8-bit images, compiled by Numba. Only this folder imports Numba, or LLVM.

The algorithm, and with it every rounding, is that of `src/libImaging/Resample.c` in Pillow: two passes with
fixed-point weights, each rounded and clipped to 8 bits.

    kernel ──► machine_code ──► the file of machine code on this host, loaded by LLVM alone
                   └ once a host ► compiling ──► resize_passes, weights ──► vectors (Numba)

Numba and what it loads to run its own cached functions take a process about 150 MB and a second; LLVM by itself
takes 50 MB and 60 ms, and actors are many.
"""

from raybatch.image.compiled.kernel import Kernel, Memory

__all__ = ["Kernel", "Memory"]
