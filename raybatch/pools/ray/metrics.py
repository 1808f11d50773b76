"""Exports the figures of loaders as metrics of Ray, which Prometheus can scrape on each host.

Ray adds the label `NodeAddress`, the prefix `ray_` and, for counters, the suffix `_total`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ray.util.metrics import Counter, Gauge

from raybatch.pools.watching import Figures

# Maps the name of a metric to a field of `Figures` and a description.
COUNTERS = {
    "raybatch_images": ("images", "Images that the loop over a loader received"),
    "raybatch_batches": ("batches", "Batches that the loop over a loader received"),
    "raybatch_bytes": ("nbytes", "Bytes of the arrays that the loop over a loader received"),
    "raybatch_wait_seconds": ("waited_s", "Seconds that the loop waited for batches"),
    "raybatch_retries": ("retries", "Batches made again because an attempt failed or was lost"),
    "raybatch_hedges": (
        "hedges",
        "Batches also made by a second worker because the first was late",
    ),
    "raybatch_bad_samples": ("bad_samples", "Samples skipped or replaced, each counted once"),
}
GAUGES = {
    "raybatch_made_ahead_batches": ("made_ahead", "Batches that are made and wait for the loop"),
    "raybatch_window_batches": ("window", "Batches that can be under way or waiting for the loop"),
}
STAGE_SECONDS = "raybatch_stage_seconds"
WORKER_DEATHS = "raybatch_worker_deaths"

_EVERY_S = 1.0


class RayMetrics:
    """A `Watcher` that passes the figures of the loader `name` to Ray's counters and gauges."""

    every_s = _EVERY_S

    def __init__(self, name: str) -> None:
        self._tags = {"loader": name}
        self._told: dict[str, float] = {}

    def begin(self, epoch: int, num_batches: Callable[[], int | None], figures: Figures) -> None:
        self.show(figures)

    def show(self, figures: Figures) -> None:
        for name, (field, what) in COUNTERS.items():
            self._add(_counter(name, what, ("loader",)), name, getattr(figures, field), self._tags)
        by_stage = _counter(STAGE_SECONDS, "Seconds of the workers", ("loader", "stage"))
        for stage, seconds in figures.stages.items():
            tags = {**self._tags, "stage": stage}
            self._add(by_stage, f"{STAGE_SECONDS}.{stage}", seconds, tags)
        for name, (field, what) in GAUGES.items():
            _gauge(name, what, ("loader",)).set(getattr(figures, field), self._tags)

    def end(self, figures: Figures) -> None:
        self.show(figures)

    def _add(self, counter: Any, key: str, value: float, tags: dict[str, str]) -> None:
        more = value - self._told.get(key, 0.0)
        if more > 0:  # Ray refuses 0
            counter.inc(more, tags)
            self._told[key] = value


def count_worker_death() -> None:
    """Count one lost actor. It belongs to the pool, so the metric has no loader."""
    _counter(
        WORKER_DEATHS, "Actors that died, were ended as stuck, or were lost with their host", ()
    ).inc()


@functools.cache
def _counter(name: str, what: str, tag_keys: tuple[str, ...]) -> Any:
    return Counter(name, what, tag_keys)


@functools.cache
def _gauge(name: str, what: str, tag_keys: tuple[str, ...]) -> Any:
    return Gauge(name, what, tag_keys)
