"""Functions for addresses and numbers → machine code that runs without Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import types

from raybatch.image.compiled import resize_passes, weights

# Its types do not have all options.
_njit: Any = numba.njit

_NUMBER, _REAL = types.int64, types.float64
_NUMBERS, _WORDS, _REALS = map(types.CPointer, (types.int64, types.int32, types.float64))

FUNCTIONS: dict[str, tuple[Callable[..., int], list[Any]]] = {
    "scratch_bytes": (resize_passes.scratch_bytes, [_NUMBER] * 4),
    "resample": (
        resize_passes.resample,
        [*[_NUMBER] * 7, _NUMBERS, *[_NUMBER] * 3, _NUMBERS, *[_NUMBER] * 9],
    ),
    "filter_weights": (
        weights.filter_weights,
        [_NUMBER, _REAL, _REAL, _NUMBER, _NUMBER, _REAL, _NUMBERS, _NUMBERS, _WORDS, _REALS],
    ),
}


def compile_all() -> bytes:
    """Return an object file for this processor with the functions of `FUNCTIONS` under their names.

    Numba's calling convention is kept: the address for the result and one for an exception come before the
    arguments, and the function returns a status. Raises RuntimeError if the code needs more than the C library.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    whole = llvm.parse_assembly("")
    for name, (function, arguments) in FUNCTIONS.items():
        whole.link_in(_module(name, function, types.int64(*arguments)))
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="jitdefault",
    )
    code: bytes = machine.emit_object(whole)
    return code


def _module(name: str, function: Callable[..., int], signature: Any) -> Any:
    """Return LLVM's module of one function, with all that it calls."""
    # The errors of Python's arithmetic, such as that of a division by 0, would need Python.
    compiled: Any = _njit(
        signature, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    module = llvm.parse_assembly(compiled.inspect_llvm(compiled.signatures[0]))
    for other in module.functions:
        if other.is_declaration:
            if not other.name.startswith("llvm.") and other.name not in ("sin", "cos"):
                raise RuntimeError(f"Numba {numba.__version__}: {name}() calls {other.name}()")
        elif other.linkage == llvm.Linkage.external:
            other.name = name
    return module
