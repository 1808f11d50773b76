"""What came out: medians over the rounds, and ratios within them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from statistics import median
from typing import Any

from raybatch.bench.contenders import RAYBATCH
from raybatch.bench.race import Race, Standing
from raybatch.bench.stopwatch import Times


def report(race: Race) -> dict[str, Any]:
    """Return the figures of `race` for JSON.

    `ratios` are the rate of each contender of raybatch over this one's, in the same round, since other rounds
    may have had a machine of another speed. Each figure of a contender is the median of its rounds.
    """
    work = race.work
    own = [each for each in race.standings if each.contender.peer == RAYBATCH and each.rounds]
    return {
        "machine": {"cpus": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("raybatch", "ray", "pillow", "numpy")},
        },
        "work": {
            "images": len(work.paths),
            "size": list(work.size),
            "batch_size": work.batch_size,
            "workers": work.workers,
            "epochs": work.epochs,
            "rounds": race.rounds,
        },
        "contenders": [_row(standing, own) for standing in race.standings],
    }


def _row(standing: Standing, own: list[Standing]) -> dict[str, Any]:
    contender = standing.contender
    row: dict[str, Any] = {
        "name": contender.name,
        "title": contender.title,
        "peer": contender.peer,
        "state": standing.state,
        "note": standing.note,
        "log": standing.log,
        "same_pixels": contender.is_exact,
        "versions": standing.versions,
    }
    if standing.rounds:
        rounds = [_figures(times) for times in standing.rounds.values()]
        row |= {name: _rounded(median(each[name] for each in rounds)) for name in rounds[0]}
        row["peak_bytes"] = standing.peak_bytes
        row["rounds"] = [
            {"round": number, **{name: _rounded(value) for name, value in figures.items()}}
            for number, figures in zip(standing.rounds, rounds, strict=True)
        ]
        row["ratios"] = {each.contender.name: _ratios(each, standing) for each in own}
    return row


def _figures(times: Times) -> dict[str, float]:
    return {
        "images_per_s": times.images / times.seconds,
        "start_s": times.start_s,
        "first_batch_s": times.first_batch_s,
        "cpu_s_per_1000_images": 1000 * times.cpu_s / times.images,
    }


def _ratios(one: Standing, other: Standing) -> dict[str, Any]:
    """Return `one`'s rate over `other`'s in each round that both have run."""
    ratios = [
        _rounded(_rate(one.rounds[number]) / _rate(other.rounds[number]))
        for number in one.rounds.keys() & other.rounds.keys()
    ]
    return {"median": _rounded(median(ratios)) if ratios else None, "rounds": ratios}


def _rate(times: Times) -> float:
    return times.images / times.seconds


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
