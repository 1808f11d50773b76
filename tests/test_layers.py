"""The architecture: a folder is a layer, imports only go down, and each module has one subject.

Each test lists everything that breaks its rule.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import raybatch

PACKAGE = Path(raybatch.__file__).parent
NOTE = PACKAGE / "README.md"
LAYERS = [
    "errors",
    "faults",
    "retries",
    "checks",
    "notices",
    "stages",
    "warned",
    "structure",
    "object_graph",
    "foreign_randomness",
    "arrays",
    "ragged",
    "memory",
    "collation",
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
    "simplejpeg": ["jpeg.py"],
    "torch": [
        *("__init__.py", "actor_context.py", "data_loader.py", "data_loader_iterators.py"),
        *("map_style.py", "ray_tensors.py", "resuming.py", "samples.py", "to_torch.py"),
        *("decoding_peers.py", "peers.py", "segment.py", "train.py"),
    ],
    "jax": ["jax.py"],
    "grain": ["peers.py"],
    "spdl": ["decoding_peers.py", "peers.py"],
    "datasets": ["peers.py"],
    "nvidia": ["decoding_peers.py"],
    "torchvision": ["decoding_peers.py"],
    "jinja2": ["pages.py"],
    "matplotlib": ["plot.py"],
    "psutil": ["processes.py"],
    "ipywidgets": ["notebook_line.py"],
    "IPython": ["notebook_line.py"],
}
# The packages whose `__init__.py` offers names. Other names are imported from their modules.
FACES = ["", "adapters", "adapters.torch", "cli", "image", "image.augment", "packing"]
# The most methods that a class may have: 12, except for these classes, which must not grow.
METHODS = defaultdict(
    lambda: 12,
    {"loader.loader.Loader": 16, "pools.ray.crew.Crew": 14, "scheduling.scheduler.Scheduler": 19},
)
MODULES = {
    ".".join(
        part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


@cache
def imported_by(name: str) -> frozenset[str]:
    """Return all modules that the module `name` imports, even in functions or for type checks."""
    found: set[str] = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def libraries_of(name: str) -> set[str]:
    return {module.split(".")[0] for module in imported_by(name)}


def layer_of(name: str) -> str:
    return name.split(".")[0]


def own_imports(name: str) -> Iterator[str]:
    """Yield the imports of the module `name` from raybatch, without that prefix.

    An import of `raybatch` itself is "".
    """
    for module in imported_by(name):
        root, _, rest = module.partition(".")
        if root == "raybatch":
            yield rest


def assert_none(offenders: Collection[object]) -> None:
    """Fail with all offenders, one per line."""
    pairs = offenders.items() if isinstance(offenders, dict) else offenders
    assert not offenders, "\n" + "\n".join(map(str, pairs))


def test_each_folder_is_a_layer() -> None:
    assert_none(sorted({layer_of(name) for name in MODULES} - {"", "__main__"} - {*LAYERS}))


def test_imports_go_down() -> None:
    upward = [
        f"{name} imports {target}"
        for name in MODULES
        for target in own_imports(name)
        # The package's own `__init__.py` imports from all layers.
        if layer_of(name) in LAYERS and layer_of(target) in LAYERS
        if LAYERS.index(layer_of(target)) > LAYERS.index(layer_of(name))
    ]
    assert_none(upward)


def test_nothing_imports_the_face() -> None:
    # The examples are written like users' programs, so they import `raybatch` itself.
    below = [name for name in MODULES if layer_of(name) not in ("", "__main__", "examples")]
    assert_none([name for name in below if "" in own_imports(name)])


def test_only_what_programs_import_from_offers_names() -> None:
    offering = [
        name
        for name, path in MODULES.items()
        if path.name == "__init__.py" and ("__all__" in path.read_text() or any(own_imports(name)))
    ]
    assert sorted(offering) == FACES


def test_no_import_is_relative() -> None:
    # A relative import would hide the layer.
    relative = [
        f"{name} imports {module}"
        for name in MODULES
        for module in imported_by(name)
        if module.startswith(".")
    ]
    assert_none(relative)


def test_no_import_cycles() -> None:
    # An `__init__.py` imports the modules of its package, so it is left out here.
    within = {
        name: {
            target
            for target in own_imports(name)
            if target != name and layer_of(target) == layer_of(name)
        }
        for name, path in MODULES.items()
        if path.name != "__init__.py"
    }
    while leaves := [name for name, targets in within.items() if not targets & within.keys()]:
        for name in leaves:
            del within[name]
    assert_none(sorted(within))


def test_only_ray_modules_import_ray() -> None:
    importing = [name for name in MODULES if "ray" in libraries_of(name)]
    outside = [
        name
        for name in importing
        if "ray" not in name.split(".") and not name.split(".")[-1].startswith("ray_")
    ]
    assert_none(outside)


def test_an_optional_library_is_imported_in_its_own_module_only() -> None:
    importing = {
        library: [MODULES[name].name for name in MODULES if library in libraries_of(name)]
        for library in OPTIONAL
    }
    assert importing == OPTIONAL


def test_modules_are_short() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert_none({name: length for name, length in lengths.items() if length > 400})


def test_modules_are_named_for_what_they_hold() -> None:
    vague = ("utils", "helpers", "common", "misc")
    assert_none([name for name in MODULES if name.split(".")[-1] in vague])


def test_no_two_modules_have_one_name() -> None:
    places = defaultdict(list)
    for name, path in MODULES.items():
        if not path.stem.startswith("__"):
            places[path.stem].append(name)
    twice = {stem: names for stem, names in places.items() if len(names) > 1}
    assert_none(twice)


def test_classes_are_small() -> None:
    # Special methods do not count, since Python defines them, nor do BatchUp's classes.
    methods = {
        f"{name}.{node.name}": len(methods_of(node))
        for name in MODULES
        if layer_of(name) != "batchup"
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.ClassDef)
    }
    assert_none({name: count for name, count in methods.items() if count > METHODS[name]})


def methods_of(node: ast.ClassDef) -> set[str]:
    return {
        method.name
        for method in node.body
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
        if not method.name.startswith("__")
    }


def test_the_readme_of_the_package_lists_the_layers_from_the_top() -> None:
    tree = re.findall(r"^ {4}(\w+)(?:/|\.py) ", NOTE.read_text(), re.MULTILINE)
    assert tree == LAYERS[::-1]


def test_the_readme_of_the_package_names_files_that_exist() -> None:
    named = re.findall(r"`([\w/]+(?:\.py|/))", NOTE.read_text())
    assert_none(
        [
            name
            for name in named
            if not any((folder / name).exists() for folder in (PACKAGE, PACKAGE.parent))
        ]
    )


def test_import_and_local_iteration_load_no_framework() -> None:
    program = """
import sys
import numpy as np
import raybatch as rb
source = rb.ArrayDataSource([np.arange(10)])
assert len(list(source.batch_iterator(4, shuffle=0))) == 3
with rb.Loader(source, 4, pool=rb.ThreadPool(1)) as loader:
    assert len(list(loader)) == 3
print([name for name in ("ray", "torch", "jax", "numba", "simplejpeg") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
