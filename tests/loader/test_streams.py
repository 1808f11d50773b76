"""The recorded streams of every kind of source and shuffle, on which saved states depend."""

from __future__ import annotations

import pytest

from tests.figures.streams import STREAMS, digest

# A changed digest means a changed stream, which breaks saved states. If you change a digest, add a
# line to the section "Changes" of raybatch/README.md.
DIGESTS = {
    "array in order": "e88ccd5768a0c6b85980e56e19785cb6ba9c5023aa157a5fb59753571d2b1b87",
    "array, seed": "ad959dddf21518947eeea3b88d6a7ac72f3ac5f5ae1a7055364f9c8d02367bf6",
    "array, RandomState": "e4f12e2b1142332634184738b5c4df42d20831a6b30ccbfe01a660a4e829c55f",
    "array, Generator": "1c77b8da46f21f3e3de3ea667b68a32a8bed7f79686bdfe07b692fadf230b672",
    "subset with repeats": "cbc693caaaf92afbefc904b068f6a4fdff5dbd85d4df8408eb8a16d01831f108",
    "weighted": "09bbf0b4e621d5df11fc55af0e3d3f87f1141bc03fe0a8e848e4ed31f55503cc",
    "weighted subset": "2ee200b262b752e1aa8627bec6d5440b7a5af55dcecdfac5eaed39471ac10b0b",
    "block shuffle": "b6c79f776bb8179b4b3578420bb92354f8a1930b018efb4e6ac6cd10a452d679",
    "composite of three": "3ccea381f7ef5ff0423e29f475e994daf843197b9cf762bd52742f81a66f27e3",
    "choice": "5490def6457edc90356a14badad30ec3bcb6d3d17e6cf1027bef325ea1a6ddc7",
    "stratified choice": "8e691660508b80cfecb40b63326338b71d12f085cf789107c1041ce318ee94c2",
    "composite of choices": "62548b0988506d8a23fa9faaaeb8f6dad62583e660473daacd51d88f971017ba",
    "augmented image files": "db41fd53467bbf7e283ac4a209b2c43599d45f51d98d2109fb50d4eca5fe0b42",
    "map with random numbers": "0d5aa8613400051f4b3bfea557785d2e7c7539e47ef77acba9e272652ecb66d1",
    "three ranks, padded": "c0e997bd54df26a0103c277e836cc7b72fc4dc174ebda1d74348af3590ace5cc",
    "bad samples skipped": "a93e06d5bd0dc2f597f168a8cd35762ae4c05454654d074a59c17aaf3f4fa5fc",
    "bad samples replaced": "eeb01d87dec054dccacbef4fa55eae4af525f03baff15497a171456901babb6b",
    "resumed at another batch size": (
        "ca6e7ded7a164b5161bf031fe1ea970545bb53e611ec6319d687af95623f1a5c"
    ),
    "BatchUp's iterator": "2cb03e36671a21edce72ca08f40b240736eda593a72bc81725f844e6aeee1a24",
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_its_recorded_digest(name: str) -> None:
    assert digest(name) == DIGESTS[name]


def test_each_recorded_digest_belongs_to_one_stream() -> None:
    assert DIGESTS.keys() == STREAMS.keys()
    assert len(set(DIGESTS.values())) == len(DIGESTS)
