"""The contenders: their names, their functions, and the modules that they need.

A contender is a function of a `Work` that yields `(images, indices)` for `work.epochs` epochs, one
after the other: the images as `work.recipe` makes them, an array or a tensor, and their indices in
`work.paths`. It runs in a process of its own, starts its workers when the first batch is asked for,
and ends them when it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass

from raybatch.bench.recipes import EVAL, STRETCH, TRAIN

EXTRA = "raybatch[bench]"


class AbsentError(Exception):
    """Raised by a contender that lacks something other than a Python module.

    The message says what is missing, and how to get it.
    """


@dataclass(frozen=True)
class Contender:
    """One way to load images.

    Args:
        name: The name in reports.
        title: The name in tables and plots.
        peer: The name of its library.
        function: `module:name`, which is imported only in its own process.
        needs: The optional modules that it imports.
        is_exact: Whether its pixels must equal those of the plain loop. Random recipes ignore it.
        keeps_order: Whether its batches must come in the order of the plain loop. Random recipes
            ignore it.
        delivers: Whether it hands over images.
        package: The package to install for `needs`.
    """

    name: str
    title: str
    peer: str
    function: str
    needs: tuple[str, ...] = ()
    is_exact: bool = True
    keeps_order: bool = True
    delivers: bool = True
    package: str = EXTRA


RAYBATCH = "raybatch"
# Contenders without a library.
LIMITS = ("plain", "ceiling")

_PEERS = "raybatch.bench.peers"
_RAY_DATA_PEERS = "raybatch.bench.ray_data_peers"
# Contenders with their own decoders.
_DECODERS = "raybatch.bench.decoding_peers"


def _ray_data(name: str, title: str, function: str, *needs: str) -> Contender:
    where = f"{_RAY_DATA_PEERS}:{function}"
    return Contender(name, title, "ray-data", where, needs, keeps_order=False)


PLAIN = Contender("plain", "plain loop", "plain", "raybatch.bench.work:plain_loop")

SCALED = Contender(
    "raybatch-scaled",
    "raybatch (Ray actors, scaled)",
    RAYBATCH,
    f"{_PEERS}:raybatch_scaled",
    is_exact=False,
)

_OWN = [
    Contender("raybatch-actors", "raybatch (Ray actors)", RAYBATCH, f"{_PEERS}:raybatch_actors"),
    Contender("raybatch-threads", "raybatch (threads)", RAYBATCH, f"{_PEERS}:raybatch_threads"),
]
_WITHOUT_LIBRARY = [
    PLAIN,
    Contender(
        "ceiling",
        "ceiling: plain loops in parallel",
        "ceiling",
        f"{_PEERS}:ceiling",
        delivers=False,
    ),
]
_TORCH = Contender("torch", "PyTorch DataLoader", "torch", f"{_PEERS}:torch_loader", ("torch",))
# These call the plain loop's function, which works for any recipe.
_AROUND_PLAIN = [
    _ray_data("ray-data-tasks", "Ray Data (map_batches, tasks)", "map_in_tasks"),
    _ray_data("ray-data-actors", "Ray Data (map_batches, actors)", "map_in_actors"),
    Contender("grain-threads", "Grain (threads)", "grain", f"{_PEERS}:grain_threads", ("grain",)),
    Contender(
        "grain-processes", "Grain (processes)", "grain", f"{_PEERS}:grain_processes", ("grain",)
    ),
]
_HUGGINGFACE = Contender(
    "huggingface",
    "Hugging Face datasets",
    "huggingface",
    f"{_PEERS}:huggingface",
    ("datasets", "torch"),
)

CONTENDERS: dict[str, list[Contender]] = {
    STRETCH.name: [
        *_OWN,
        *_WITHOUT_LIBRARY,
        _TORCH,
        _ray_data("ray-data-read-images", "Ray Data (read_images)", "read_images", "pandas"),
        *_AROUND_PLAIN,
        Contender("spdl", "SPDL (threads)", "spdl", f"{_PEERS}:spdl", ("spdl",)),
        _HUGGINGFACE,
    ],
    TRAIN.name: [
        *_OWN,
        Contender(
            "raybatch-bytes",
            "raybatch (Ray actors, bytes)",
            RAYBATCH,
            f"{_PEERS}:raybatch_bytes",
            ("torch",),
        ),
        *_WITHOUT_LIBRARY,
        _TORCH,
        Contender(
            "torchvision-pillow",
            "DataLoader, torchvision on Pillow",
            "torchvision",
            f"{_DECODERS}:torchvision_pillow",
            ("torch", "torchvision"),
        ),
        Contender(
            "torchvision",
            "DataLoader, torchvision's decoder",
            "torchvision",
            f"{_DECODERS}:torchvision",
            ("torch", "torchvision"),
        ),
        Contender(
            "dali",
            "DALI on the CPU",
            "dali",
            f"{_DECODERS}:dali",
            ("nvidia.dali", "torch"),
            package="nvidia-dali-cuda120",
        ),
        *_AROUND_PLAIN,
        Contender("spdl", "SPDL's decoder (threads)", "spdl", f"{_DECODERS}:spdl", ("spdl",)),
        _HUGGINGFACE,
    ],
    EVAL.name: [*_OWN, *_WITHOUT_LIBRARY, _TORCH, *_AROUND_PLAIN],
}


def peers_of(recipe: str) -> list[str]:
    """Return what raybatch is compared with: libraries, the plain loop and the ceiling."""
    peers = (each.peer for each in CONTENDERS[recipe] if each.peer != RAYBATCH)
    return list(dict.fromkeys(peers))
