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

PLAIN = Contender("plain", "plain loop", "plain", "raybatch.bench.plain:batches")

SCALED = Contender(
    "raybatch-scaled",
    "raybatch (Ray actors, scaled)",
    RAYBATCH,
    "raybatch.bench.raybatch_pools:scaled",
    is_exact=False,
)

CONTENDERS = [
    Contender(
        "raybatch-actors",
        "raybatch (Ray actors)",
        RAYBATCH,
        "raybatch.bench.raybatch_pools:actors",
    ),
    Contender(
        "raybatch-threads",
        "raybatch (threads)",
        RAYBATCH,
        "raybatch.bench.raybatch_pools:threads",
    ),
    PLAIN,
    Contender(
        "ceiling",
        "ceiling: plain loops in parallel",
        "ceiling",
        "raybatch.bench.ceiling:batches",
        delivers=False,
    ),
    Contender(
        "torch",
        "PyTorch DataLoader",
        "torch",
        "raybatch.bench.torch_loader:batches",
        needs=("torch",),
    ),
    Contender(
        "ray-data-read-images",
        "Ray Data (read_images)",
        "ray-data",
        "raybatch.bench.ray_data:read_images",
        needs=("pandas",),
        keeps_order=False,
    ),
    Contender(
        "ray-data-tasks",
        "Ray Data (map_batches, tasks)",
        "ray-data",
        "raybatch.bench.ray_data:map_in_tasks",
        keeps_order=False,
    ),
    Contender(
        "ray-data-actors",
        "Ray Data (map_batches, actors)",
        "ray-data",
        "raybatch.bench.ray_data:map_in_actors",
        keeps_order=False,
    ),
    Contender(
        "grain-threads",
        "Grain (threads)",
        "grain",
        "raybatch.bench.grain_pipelines:threads",
        needs=("grain",),
    ),
    Contender(
        "grain-processes",
        "Grain (processes)",
        "grain",
        "raybatch.bench.grain_pipelines:processes",
        needs=("grain",),
    ),
    Contender(
        "spdl",
        "SPDL (threads)",
        "spdl",
        "raybatch.bench.spdl_pipeline:batches",
        needs=("spdl",),
    ),
    Contender(
        "huggingface",
        "Hugging Face datasets",
        "huggingface",
        "raybatch.bench.huggingface:batches",
        needs=("datasets", "torch"),
    ),
]

PEERS = list(dict.fromkeys(each.peer for each in CONTENDERS if each.peer != RAYBATCH))
