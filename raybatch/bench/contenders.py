"""Who takes part: what they are called, where they are, and what they need.

A contender is a function of a `Work` that gives `(images, indices)` for `work.epochs` epochs, one after the
other: uint8 `(n, height, width, 3)`, an array or a tensor, and which of `work.paths` they are. It runs in a
process of its own, starts what it needs when the first batch is asked for, and ends it when it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass

EXTRA = "raybatch[bench]"


@dataclass(frozen=True)
class Contender:
    """One way to load images; `function` is `module:name`, and is imported in its own process only.

    `peer` is the library that it belongs to. `needs` are the packages of the extra that it imports.
    `is_exact` says that its pixels must be those of the plain loop, `keeps_order` that its batches must be
    too, and `delivers` that it hands over images at all.
    """

    name: str
    title: str
    peer: str
    function: str
    needs: tuple[str, ...] = ()
    is_exact: bool = True
    keeps_order: bool = True
    delivers: bool = True


RAYBATCH = "raybatch"

_PEERS, _RAY_DATA = "raybatch.bench.peers", "raybatch.bench.ray_data_peers"


def _ray_data(name: str, title: str, function: str, *needs: str) -> Contender:
    where = f"{_RAY_DATA}:{function}"
    return Contender(name, title, "ray-data", where, needs, keeps_order=False)


PLAIN = Contender("plain", "plain loop", "plain", "raybatch.bench.work:plain_loop")

SCALED = Contender(
    "raybatch-scaled",
    "raybatch (Ray actors, scaled)",
    RAYBATCH,
    f"{_PEERS}:raybatch_scaled",
    is_exact=False,
)

CONTENDERS = [
    Contender("raybatch-actors", "raybatch (Ray actors)", RAYBATCH, f"{_PEERS}:raybatch_actors"),
    Contender("raybatch-threads", "raybatch (threads)", RAYBATCH, f"{_PEERS}:raybatch_threads"),
    PLAIN,
    Contender(
        "ceiling",
        "ceiling: plain loops in parallel",
        "ceiling",
        f"{_PEERS}:ceiling",
        delivers=False,
    ),
    Contender("torch", "PyTorch DataLoader", "torch", f"{_PEERS}:torch_loader", ("torch",)),
    _ray_data("ray-data-read-images", "Ray Data (read_images)", "read_images", "pandas"),
    _ray_data("ray-data-tasks", "Ray Data (map_batches, tasks)", "map_in_tasks"),
    _ray_data("ray-data-actors", "Ray Data (map_batches, actors)", "map_in_actors"),
    Contender("grain-threads", "Grain (threads)", "grain", f"{_PEERS}:grain_threads", ("grain",)),
    Contender(
        "grain-processes", "Grain (processes)", "grain", f"{_PEERS}:grain_processes", ("grain",)
    ),
    Contender("spdl", "SPDL (threads)", "spdl", f"{_PEERS}:spdl", ("spdl",)),
    Contender(
        "huggingface",
        "Hugging Face datasets",
        "huggingface",
        f"{_PEERS}:huggingface",
        ("datasets", "torch"),
    ),
]

PEERS = list(dict.fromkeys(each.peer for each in CONTENDERS if each.peer != RAYBATCH))
