"""The results: medians over the rounds, ratios within them, and the rows of tables and plots."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

from raybatch.bench.contenders import RAYBATCH
from raybatch.bench.recipes import RECIPES, Recipe
from raybatch.checks import counted

if TYPE_CHECKING:
    from raybatch.bench.race import Race, Round, Standing  # this import loads psutil


def report(race: Race) -> dict[str, Any]:
    """Return the figures of `race` for JSON.

    Each figure of a contender is the median of its rounds. `ratios` divide the rate of each
    raybatch contender by the contender's rate in the same round, since the machine may be faster or
    slower in other rounds. `same_pixels` is None for random recipes.
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
            "recipe": work.recipe.name,
            "images": len(work.paths),
            "size": list(work.size),
            "batch_size": work.batch_size,
            "workers": work.workers,
            "epochs": work.epochs,
            "rounds": race.rounds,
        },
        "contenders": [_row(standing, own, work.recipe) for standing in race.standings],
    }


def _row(standing: Standing, own: list[Standing], recipe: Recipe) -> dict[str, Any]:
    contender = standing.contender
    row: dict[str, Any] = {
        "name": contender.name,
        "title": contender.title,
        "peer": contender.peer,
        "state": standing.state,
        "note": standing.note,
        "log": standing.log,
        "same_pixels": None if recipe.is_random else contender.is_exact,
        "versions": standing.versions,
    }
    if standing.rounds:
        rounds = {number: _figures(one) for number, one in standing.rounds.items()}
        names = next(iter(rounds.values()))
        row |= {name: median(one[name] for one in rounds.values()) for name in names}
        row["rounds"] = [{"round": number, **figures} for number, figures in rounds.items()]
        row["ratios"] = {each.contender.name: _ratios(each, standing) for each in own}
    return row


def _figures(one: Round) -> dict[str, float]:
    times = one.times
    figures = {
        "images_per_s": times.images_per_s,
        "start_s": times.start_s,
        "first_batch_s": times.first_batch_s,
        "cpu_s_per_1000_images": 1000 * one.cpu_s / times.images,
        "peak_mb": one.peak_bytes / 1e6,
    }
    return {name: _rounded(value) for name, value in figures.items()}


def _ratios(one: Standing, other: Standing) -> dict[str, Any]:
    """Return `one`'s rate over `other`'s in each round that both have run."""
    ratios = [
        _rounded(one.rounds[number].times.images_per_s / other.rounds[number].times.images_per_s)
        for number in sorted(one.rounds.keys() & other.rounds.keys())
    ]
    return {"median": median(ratios) if ratios else None, "rounds": ratios}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def timed(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the contenders of a report that were timed, fastest first."""
    rows = [row for row in report["contenders"] if "rounds" in row]
    return sorted(rows, key=lambda row: -float(row["images_per_s"]))


def marked_title(row: dict[str, Any]) -> str:
    """Return the title of a contender, with an asterisk if its pixels differ."""
    return str(row["title"]) + (" *" if row["same_pixels"] is False else "")


def shortest_s(report: dict[str, Any]) -> float:
    """Return the seconds for which the fastest contender was timed in a round."""
    work, rows = report["work"], timed(report)
    return float(work["images"] * work["epochs"] / rows[0]["images_per_s"]) if rows else 0.0


def has_other_pixels(report: dict[str, Any]) -> bool:
    """Return whether one of the timed contenders has an asterisk."""
    return any(row["same_pixels"] is False for row in timed(report))


def compares_pixels(report: dict[str, Any]) -> bool:
    """Return whether the recipe is not random."""
    return not RECIPES[report["work"]["recipe"]].is_random


def task(report: dict[str, Any]) -> str:
    """Return the task in one line."""
    work = report["work"]
    height, width = work["size"]
    made = RECIPES[work["recipe"]].describe((height, width))
    return (
        f"{counted(work['images'], 'image')} → {made}, batches of {work['batch_size']}, "
        f"{counted(work['workers'], 'worker')}"
    )
