"""The architecture: a folder is a layer, and imports go down only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import raybatch

PACKAGE = Path(raybatch.__file__).parent
LAYERS = [
    "errors",
    "checks",
    "stages",
    "arrays",
    "image",
    "order",
    "stores",
    "accessors",
    "sources",
    "making",
    "scheduling",
    "pools",
    "loader",
    "packing",
    "batchup",
    "adapters",
    "bench",
    "examples",
    "cli",
]
# Optional libraries, and the modules that may import them.
OPTIONAL = {
    "fsspec": ["fsspec_files.py"],
    "torch": ["torch.py", "peers.py", "train.py"],
    "jax": ["jax.py"],
    "grain": ["peers.py"],
    "spdl": ["peers.py"],
    "datasets": ["peers.py"],
    "jinja2": ["pages.py"],
    "matplotlib": ["plot.py"],
    "psutil": ["processes.py"],
    "ipywidgets": ["notebook_line.py"],
    "IPython": ["notebook_line.py"],
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that `path` imports, inside functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the layer"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "raybatch" and len(parts) > 1 else None


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    own = layer_of(name_of(path))
    if own in (None, "__main__"):
        return  # the package's own face shows all layers
    for module in imported_modules(path):
        layer = layer_of(module)
        if layer is not None and layer in LAYERS:
            assert LAYERS.index(layer) <= LAYERS.index(own), f"{own} imports {module}"
        # An example is written as a program of a user's.
        assert module != "raybatch" or own == "examples", f"{own} imports the package's face"


def test_no_import_cycles() -> None:
    names = {name_of(path) for path in MODULES}
    graph = {
        name_of(path): {m for m in imported_modules(path) if m in names and m != name_of(path)}
        for path in MODULES
    }
    # A package's face imports its modules, and modules of other layers import the face.
    faces = {name_of(path) for path in MODULES if path.name == "__init__.py"}
    within = {
        name: {m for m in targets if layer_of(m) == layer_of(name) and m not in faces}
        for name, targets in graph.items()
        if name not in faces
    }
    while leaves := [name for name, targets in within.items() if not targets & within.keys()]:
        for name in leaves:
            del within[name]
    assert not within, f"modules that import each other: {sorted(within)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_ray_modules_import_ray(path: Path) -> None:
    uses_ray = any(module.split(".")[0] == "ray" for module in imported_modules(path))
    in_room = "ray" in path.relative_to(PACKAGE).parts
    assert not uses_ray or in_room or path.name.startswith("ray_")


@pytest.mark.parametrize("library", OPTIONAL)
def test_an_optional_library_is_imported_in_its_own_module_only(library: str) -> None:
    importing = [
        path.name
        for path in MODULES
        if any(module.split(".")[0] == library for module in imported_modules(path))
    ]
    assert importing == OPTIONAL[library]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_one_folder_imports_numba(path: Path) -> None:
    roots = {module.split(".")[0] for module in imported_modules(path)}
    assert not roots & {"numba", "llvmlite"} or path.parent.name == "compiled"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_are_short_and_named_for_what_they_hold(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in ("utils", "helpers", "common", "misc")


def test_import_and_local_iteration_load_no_framework() -> None:
    program = """
import sys
import numpy as np
import raybatch as rb
source = rb.ArrayDataSource([np.arange(10)])
assert len(list(source.batch_iterator(4, shuffle=0))) == 3
with rb.Loader(source, 4, pool=rb.ThreadPool(1)) as loader:
    assert len(list(loader)) == 3
print([name for name in ("ray", "torch", "jax", "numba") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
