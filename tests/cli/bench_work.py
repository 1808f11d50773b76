"""Small work for the contenders of a bench."""

from __future__ import annotations

from dataclasses import replace

from raybatch.bench.contenders import CONTENDERS, Contender
from raybatch.bench.measures import epochs_to_look_at
from raybatch.bench.race import Race
from raybatch.bench.recipes import TRAIN
from raybatch.bench.work import Work


def work_on(photos: list[str]) -> Work:
    return Work(tuple(photos), (24, 32), batch_size=16, workers=2)


def training_on(photos: list[str]) -> Work:
    work = replace(work_on(photos), recipe=TRAIN)
    return replace(work, epochs=epochs_to_look_at(work))


def finished(work: Work, *contenders: Contender, rounds: int = 0) -> Race:
    race = Race(work, list(contenders), rounds)
    assert len(list(race.steps())) == len(race)
    return race


def contender_of(recipe: str, name: str) -> Contender:
    return next(each for each in CONTENDERS[recipe] if each.name == name)


def wrong(name: str) -> Contender:
    return Contender(name, name, "wrong", f"tests.cli.wrong_contenders:{name}")
